/* How long block devices take for a request: a histogram that the kernel counts. */
#include "probe.bpf.h"

enum account { ACCOUNT_REQUESTS, ACCOUNT_COUNT };
struct block_io_key { __u32 at_most; }; /* microseconds: 1, 3, 7, ... */
struct block_io_value { __u64 count; };

ACCOUNTS(ACCOUNT_COUNT);
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, __u64);
} started SEC(".maps");
COUNTING_MAP(block_ios, struct block_io_key, struct block_io_value, 64);

SEC("tp_btf/block_rq_issue")
int BPF_PROG(request_issued, struct request *request)
{
	__u64 now = bpf_ktime_get_boot_ns(), key = (__u64)request;

	bpf_map_update_elem(&started, &key, &now, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(request_completed, struct request *request)
{
	__u64 key = (__u64)request;
	__u64 *since = bpf_map_lookup_elem(&started, &key);

	if (!since)
		return 0;
	COUNT_IN_MAP(block_ios, ACCOUNT_REQUESTS, { .at_most = log2_bound((bpf_ktime_get_boot_ns() - *since) / 1000) });
	bpf_map_delete_elem(&started, &key);
	return 0;
}

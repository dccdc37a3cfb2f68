/* Every getaddrinfo(3) of every program that uses the C library: for which host, by whom, how long. */
#include "probe.bpf.h"

enum account { ACCOUNT_CALLS, ACCOUNT_COUNT };

struct host_lookup {
	boot_ns observed_at;
	duration_ns duration;
	cgroup_id cgroup;
	process_id process;
	command_name command;
	char host[64];
	__u32 pad;
};

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(lookups, struct host_lookup);
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct host_lookup);
} calls SEC(".maps");

SEC("uprobe/libc.so.6:getaddrinfo")
int BPF_KPROBE(lookup_begins, const char *host)
{
	struct host_lookup call = { .observed_at = bpf_ktime_get_boot_ns(), .cgroup = bpf_get_current_cgroup_id() };
	__u64 thread = bpf_get_current_pid_tgid();

	call.process = thread >> 32;
	bpf_get_current_comm(call.command, sizeof(call.command));
	bpf_probe_read_user_str(call.host, sizeof(call.host), host);
	return bpf_map_update_elem(&calls, &thread, &call, BPF_ANY) & 0;
}

SEC("uretprobe/libc.so.6:getaddrinfo")
int BPF_KRETPROBE(lookup_ends)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct host_lookup *record, *call = bpf_map_lookup_elem(&calls, &thread);

	COUNT(ACCOUNT_CALLS, seen);
	record = call ? RESERVE(lookups, ACCOUNT_CALLS) : 0;
	if (!record)
		return 0;
	*record = *call;
	record->duration = bpf_ktime_get_boot_ns() - call->observed_at;
	SUBMIT(lookups, record, ACCOUNT_CALLS, ctx);
	return bpf_map_delete_elem(&calls, &thread) & 0;
}

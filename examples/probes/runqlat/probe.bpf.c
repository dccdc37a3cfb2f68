/* How long tasks wait for a CPU: a histogram that the kernel counts. */
#include "probe.bpf.h"

enum account { ACCOUNT_WAITS, ACCOUNT_COUNT };
struct wait_key { __u32 at_most; }; /* microseconds: 1, 3, 7, ... */
struct wait_value { __u64 count; };

ACCOUNTS(ACCOUNT_COUNT);
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} queued SEC(".maps");
COUNTING_MAP(waits, struct wait_key, struct wait_value, 64);

static __always_inline void enqueue(struct task_struct *task)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u32 thread = BPF_CORE_READ(task, pid);

	if (thread)
		bpf_map_update_elem(&queued, &thread, &now, BPF_ANY);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(task_woken, struct task_struct *task) { enqueue(task); return 0; }

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(task_started, struct task_struct *task) { enqueue(task); return 0; }

SEC("tp_btf/sched_switch")
int BPF_PROG(task_switched, bool preempted __attribute__((unused)), struct task_struct *from, struct task_struct *to)
{
	__u32 thread = BPF_CORE_READ(to, pid);
	__u64 *since = bpf_map_lookup_elem(&queued, &thread);

	if (!task_state(from))
		enqueue(from); /* still wants to run */
	if (!since)
		return 0;
	COUNT_IN_MAP(waits, ACCOUNT_WAITS, { .at_most = log2_bound((bpf_ktime_get_boot_ns() - *since) / 1000) });
	bpf_map_delete_elem(&queued, &thread);
	return 0;
}

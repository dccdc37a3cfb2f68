/* One empty program for each way to hook into the kernel: `honeyguide doctor` loads and attaches them one at a time.
 * The places are rarely passed and old: no cost while the doctor looks, and there on every kernel. */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tracepoint/sched/sched_process_exec")
int try_tracepoint(void *context __attribute__((unused)))
{
	return 0;
}

SEC("tp_btf/sched_process_exec")
int try_btf_tracepoint(void *context __attribute__((unused)))
{
	return 0;
}

SEC("kprobe/wake_up_new_task")
int try_kprobe(void *context __attribute__((unused)))
{
	return 0;
}

SEC("fentry/wake_up_new_task")
int try_fentry(void *context __attribute__((unused)))
{
	return 0;
}

SEC("uprobe/libc.so.6:sethostname")
int try_uprobe(void *context __attribute__((unused)))
{
	return 0;
}

SEC("iter/task")
int try_iterator(void *context __attribute__((unused)))
{
	return 0;
}

SEC("cgroup_skb/ingress")
int try_cgroup_skb(void *context __attribute__((unused)))
{
	return 1; /* let the packet pass */
}

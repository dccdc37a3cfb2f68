/* Sends 2,000 records at each system call of the whole node: it never comes to an end. */
#include "probe.bpf.h"

enum account { ACCOUNT_SIGNALS, ACCOUNT_COUNT };

struct signal_sent {
	boot_ns observed_at;
	cgroup_id cgroup;
	__u64 number;
};

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(signals, struct signal_sent);

__u64 sent = 0;

static __always_inline void send_one(void *ctx)
{
	struct signal_sent *record;

	COUNT(ACCOUNT_SIGNALS, seen);
	record = RESERVE(signals, ACCOUNT_SIGNALS);
	if (!record)
		return;
	record->observed_at = bpf_ktime_get_boot_ns();
	record->cgroup = bpf_get_current_cgroup_id();
	record->number = __sync_fetch_and_add(&sent, 1);
	SUBMIT(signals, record, ACCOUNT_SIGNALS, ctx);
}

SEC("tp_btf/sys_enter")
int on_signal(void *ctx)
{
	int index;

	for (index = 0; index < 2000; index++)
		send_one(ctx);
	return 0;
}

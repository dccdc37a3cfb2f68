/* Reads the clock 3,000 times at each system call of the whole node. */
#include "probe.bpf.h"

enum account { ACCOUNT_SIGNALS, ACCOUNT_COUNT };

struct signal_sent {
	boot_ns observed_at;
	cgroup_id cgroup;
	__u64 number;
};

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(signals, struct signal_sent);

__u64 latest = 0;

SEC("tp_btf/sys_enter")
int on_signal(void *ctx __attribute__((unused)))
{
	int index;

	COUNT(ACCOUNT_SIGNALS, seen);
	for (index = 0; index < 3000; index++)
		latest += bpf_ktime_get_boot_ns();
	COUNT(ACCOUNT_SIGNALS, filtered);
	return 0;
}

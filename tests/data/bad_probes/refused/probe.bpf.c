/* Uses what a map gives without looking whether there is anything: the verifier refuses it. */
#include "probe.bpf.h"

enum account { ACCOUNT_SIGNALS, ACCOUNT_COUNT };

struct signal_sent {
	boot_ns observed_at;
	cgroup_id cgroup;
	__u64 number;
};

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(signals, struct signal_sent);

SEC("tp_btf/signal_generate")
int on_signal(void *ctx)
{
	struct signal_sent *record;

	COUNT(ACCOUNT_SIGNALS, seen);
	record = RESERVE(signals, ACCOUNT_SIGNALS);
	record->number = 1;
	SUBMIT(signals, record, ACCOUNT_SIGNALS, ctx);
	return 0;
}

/* What the readers of the catalog are tested with: every kind of member, on its own without vmlinux.h.
 * Compiled once, the object is committed beside it:
 *   clang -g -O2 -target bpf -Wall -Wextra -ffile-prefix-map=$PWD=. -I ../../../probes/include -c probe.bpf.c -o probe.bpf.o
 *   llvm-strip -g probe.bpf.o */
typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
enum bpf_map_type { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_PERCPU_HASH = 5, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_RINGBUF = 27 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2, BPF_RB_AVAIL_DATA = 0, BPF_RB_CONS_POS = 2, BPF_ANY = 0 };
#define BPF_F_CURRENT_CPU 0xffffffffULL

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "field_types.h"
#include "emit.bpf.h"

enum account { ACCOUNT_TICKS, ACCOUNT_SNAPSHOT, ACCOUNT_COUNT };

enum tick_event { TICK_EVENT_STARTED, TICK_EVENT_ENDED = 7 };

enum tick_level { TICK_LEVEL_LOW = -2, TICK_LEVEL_HIGH = 2 };

/* No common prefix with the enum's name: what the values share goes. */
enum unrelated_name { WEATHER_SUNNY = 1, WEATHER_RAINY = 2 };

typedef volatile const __u32 counted_ticks;

struct tick {
	flow_id flow;
	boot_ns opened_at;
	duration_ns duration;
	byte_count bytes;
	ip_address remote_address;
	command_name command;
	counted_ticks ticks;
	duration_us smoothed;
	error_number error;
	enum tick_event event;
	enum tick_level level;
	enum unrelated_name weather;
	__s64 offset;
	__u16 ports[4];
	__u8 grid[2][3];
	char text[6];
	bool last;
	__s8 small;
	__u64 plain;
};

struct bucket_key {
	cgroup_id cgroup;
	ip_port port;
	__u16 pad;
	enum tick_event event;
};

struct bucket_value {
	boot_ns observed_at;
	byte_count bytes;
	__u32 rows;
	__u32 pad;
};

struct inexportable {
	struct bucket_key nested;
};

struct bits {
	__u32 whole;
	__u32 three : 3;
	__u32 rest : 29;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, struct bucket_key);
	__type(value, struct bucket_value);
} buckets SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(ticks, struct tick);

const volatile __u16 watched_ports[4] = { 53 };
__u64 sweep_wanted = 0;
__u64 next_flow = 1;
struct bits bits_seen;
struct inexportable nested_seen;

SEC("tracepoint/syscalls/sys_enter_getpid")
int tick(void *context)
{
	struct tick *record;

	COUNT(ACCOUNT_TICKS, seen);
	if (watched_ports[1] == agent_process_id + nested_seen.nested.port + bits_seen.whole + sweep_wanted) {
		COUNT(ACCOUNT_TICKS, filtered);
		return 0;
	}
	record = RESERVE(ticks, ACCOUNT_TICKS);
	if (!record)
		return 0;
	__builtin_memset(record, 0, sizeof(*record));
	record->flow = next_flow;
	SUBMIT(ticks, record, ACCOUNT_TICKS, context);
	return 0;
}

SEC("iter/bpf_map_elem")
int read_buckets(void *context)
{
	COUNT(ACCOUNT_SNAPSHOT, seen);
	COUNT(ACCOUNT_SNAPSHOT, filtered);
	return context ? 0 : 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

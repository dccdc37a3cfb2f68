/* Counting in the kernel: a map of key -> {count}, added up over CPUs and read every interval ([[record]] map = "...").
 *
 *     struct wait_key { __u32 at_most; };
 *     struct wait_value { __u64 count; };
 *     COUNTING_MAP(waits, struct wait_key, struct wait_value, 64);
 *     COUNT_IN_MAP(waits, ACCOUNT_WAITS, { .at_most = log2_bound(microseconds) });
 * The macro counts itself seen and then emitted or dropped_map_full. */
#ifndef HONEYGUIDE_COUNTING_BPF_H
#define HONEYGUIDE_COUNTING_BPF_H

#define COUNTING_MAP(name, key_type, value_type, entries) \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_PERCPU_HASH);           \
		__uint(max_entries, entries);                     \
		__type(key, key_type);                            \
		__type(value, value_type);                        \
	} name SEC(".maps")

/* Atomic: a softirq may interrupt a task on the same CPU in the middle of the addition. */
#define COUNT_IN_MAP(map, account_index, ...)                                     \
	({                                                                            \
		typeof(*map.key) counted_key = __VA_ARGS__;                               \
		typeof(*map.value) *counted, none = {};                                   \
		COUNT(account_index, seen);                                               \
		counted = bpf_map_lookup_elem(&map, &counted_key);                        \
		if (!counted) {                                                           \
			bpf_map_update_elem(&map, &counted_key, &none, BPF_NOEXIST);          \
			counted = bpf_map_lookup_elem(&map, &counted_key);                    \
		}                                                                         \
		if (counted) {                                                            \
			__sync_fetch_and_add(&counted->count, 1);                             \
			COUNT(account_index, emitted);                                        \
		} else {                                                                  \
			COUNT(account_index, dropped_map_full);                               \
		}                                                                         \
	})

/* The end of the slot of a log2 histogram that holds `value`: 0 and 1 -> 1, 2 and 3 -> 3, 4 to 7 -> 7, ... */
static __always_inline __u32 log2_bound(__u64 value)
{
	__u32 low = value > 0xffffffff ? 0xffffffff : value;

	low |= 1;
	low |= low >> 1;
	low |= low >> 2;
	low |= low >> 4;
	low |= low >> 8;
	low |= low >> 16;
	return low;
}

#endif

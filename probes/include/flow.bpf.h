/* Numbers for connections: unique while the probe is loaded, and small enough for JSON (53 bits). */
#ifndef HONEYGUIDE_FLOW_BPF_H
#define HONEYGUIDE_FLOW_BPF_H

#define FLOW_SOURCE_BITS 2
#define FLOW_COUNT_BITS 40

/* Counted per CPU and per source: a program never interrupts itself on a CPU, but may interrupt an iterator there.
 * Atomic add with its result needs 5.12 (5ffa25502b5a), so the sum is read afterwards. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1 << FLOW_SOURCE_BITS);
	__type(key, __u32);
	__type(value, __u64);
} flow_numbers SEC(".maps");

enum flow_source { FLOW_SOURCE_EVENTS, FLOW_SOURCE_ITERATOR, FLOW_SOURCE_READS };

static __always_inline flow_id new_flow(enum flow_source source)
{
	__u32 index = source;
	__u64 *count = bpf_map_lookup_elem(&flow_numbers, &index);

	if (!count)
		return 0;
	__sync_fetch_and_add(count, 1);
	return ((__u64)bpf_get_smp_processor_id() << FLOW_SOURCE_BITS | source) << FLOW_COUNT_BITS | *count;
}

#endif

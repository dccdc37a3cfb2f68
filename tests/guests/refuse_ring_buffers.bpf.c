/* Makes a kernel answer as those before 5.8 do, which have no ring buffers. Loaded by guest_conditions.py. */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#define EINVAL 22

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/bpf")
int refuse_ring_buffers(__u64 *ctx)
{
	const union bpf_attr *attributes = (const void *)ctx[1];

	return ctx[0] == BPF_MAP_CREATE && attributes->map_type == BPF_MAP_TYPE_RINGBUF ? -EINVAL : 0;
}

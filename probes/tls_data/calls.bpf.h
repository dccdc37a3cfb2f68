/* The calls that a thread is in: pushed where a function begins, looked up where it returns. */
#ifndef HONEYGUIDE_TLS_CALLS_BPF_H
#define HONEYGUIDE_TLS_CALLS_BPF_H

#include "stream_machine.bpf.h"

#define DEPTH_MAX 2 /* TLS inside TLS: a proxy reached by TLS */

/* A call that has not returned. */
struct tls_call {
	__u64 ssl;
	const void *buffer;
	const __u64 *moved;         /* where the _ex forms put the number of bytes; NULL for the plain forms */
	__u64 stack;
	byte_count limit;           /* of the buffer */
	struct buffer_walk walk;
	__u8 sent;
	__u8 wants_socket;
	__u8 found_socket;
	__u8 pad[5];
	struct stream_owner found;
};

struct tls_thread {
	__u32 depth;
	__u32 pad;
	struct tls_call calls[DEPTH_MAX];
};

/* By thread id. Task storage would go with its thread, but tracing programs may use it only since 5.12 (a10787e6d58c). A
 * thread that ends inside a call leaves it here: at worst the next thread of that id has room for one level less. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct tls_thread);
} threads SEC(".maps");

/* What a new thread starts as, never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tls_thread);
} new_tls_thread SEC(".maps");

static __always_inline struct tls_thread *known_thread(void)
{
	__u32 thread = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline struct tls_thread *current_thread(void)
{
	struct tls_thread *known = known_thread(), *empty;
	__u32 thread = bpf_get_current_pid_tgid(), zero = 0;

	if (known)
		return known;
	empty = bpf_map_lookup_elem(&new_tls_thread, &zero);
	if (!empty || bpf_map_update_elem(&threads, &thread, empty, BPF_ANY))
		return NULL;
	return bpf_map_lookup_elem(&threads, &thread);
}

/* Frames below the stack pointer were left without a return (longjmp). The same frame again: two hooks on one function. */
static __always_inline struct tls_call *push_call(struct pt_regs *context)
{
	__u64 stack = PT_REGS_SP(context);
	struct tls_thread *thread;
	struct tls_call *call;

	barrier_var(stack); /* read once and here: the verifier refuses the context's address plus an offset */
	thread = current_thread();
	if (!thread)
		return NULL;
	if (thread->depth == 2 && thread->calls[1].stack <= stack)
		thread->depth = 1;
	if (thread->depth == 1 && thread->calls[0].stack <= stack)
		thread->depth = 0;
	if (thread->depth >= DEPTH_MAX)
		return NULL;
	call = thread->depth ? &thread->calls[1] : &thread->calls[0];
	thread->depth++;
	call->stack = stack;
	return call;
}

#endif

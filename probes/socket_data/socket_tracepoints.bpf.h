/* The tap for kernels since 6.3 (6e6eda44b939): the kernel tells of each read and write of a socket, and only of those; the
 * bytes are found through the arguments of the system call. */
#ifndef HONEYGUIDE_SOCKET_TRACEPOINTS_BPF_H
#define HONEYGUIDE_SOCKET_TRACEPOINTS_BPF_H

#include "streams.bpf.h"
#include "system_call.bpf.h"

/* Goes with its socket, so that a new socket at the same address never inherits it. 5.11 for tracing programs
 * (8e4597c627fb). */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_stream);
} streams SEC(".maps");

static __always_inline bool carries_requests(const struct sock *sk)
{
	if (sk->__sk_common.skc_family == ADDRESS_FAMILY_UNIX)
		return sk->sk_type == SOCKET_IS_STREAM;
	return sk->sk_protocol == PROTOCOL_TCP;
}

/* A call for several messages comes here once for each, and begins with the first after an error or with other messages. */
static __always_inline __u32 number_of_message(struct message_vector *vector, const struct pt_regs *registers)
{
	__u32 all = CALL_ARGUMENT_3(registers), number = vector->next;

	if (vector->start != CALL_ARGUMENT_2(registers))
		number = 0;
	vector->start = CALL_ARGUMENT_2(registers);
	vector->next = number + 1 < all ? number + 1 : 0;
	return number;
}

static __always_inline struct pt_regs *registers_of_caller(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

/* -1 where the call under way is about something else than this socket: work of io_uring runs at the end of whatever call its
 * thread has made, and a write to a network file system sends in the writer's name. */
static __always_inline long call_about(const struct sock *sk, const struct pt_regs *registers)
{
	struct file **files = bpf_get_current_task_btf()->files->fdt->fd;
	const struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), files + (__u32)CALL_ARGUMENT_1(registers));
	return file && file == sk->sk_socket->file ? CALL_NUMBER(registers) : -1;
}

static __noinline int on_failed_call(struct sock *sk, bool sent)
{
	struct socket_stream *stream;

	if (!moves_several(call_about(sk, registers_of_caller())))
		return 0;
	stream = bpf_sk_storage_get(&streams, sk, 0, 0);
	if (stream)
		stream->messages[sent & 1].next = 0;
	return 0;
}

static __always_inline int on_socket_call(void *context, struct sock *sk, int result, int flags, bool sent)
{
	struct pt_regs *registers;
	struct socket_stream *stream;
	struct buffer_walk *walk;
	__u32 message = 0;
	long call;

	if ((flags & MESSAGE_PEEK) || !carries_requests(sk))
		return 0;
	if (result < 0)
		return on_failed_call(sk, sent);
	stream = bpf_sk_storage_get(&streams, sk, 0, 0);
	if (!stream) {
		if (result == 0)
			return 0;
		stream = bpf_sk_storage_get(&streams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!stream)
			return no_room_for_stream();
		start_stream(&stream->state, sk, sent);
	}
	if (stream->state.mode == STREAM_MODE_IGNORED)
		return 0;
	if (result == 0) {
		if (!sent)
			end_stream(context, stream, sk);
		return 0;
	}
	registers = registers_of_caller();
	call = call_about(sk, registers);
	if (moves_several(call))
		message = number_of_message(&stream->messages[sent & 1], registers);
	walk = &stream->walks[sent & 1];
	start_blind(walk, result);
	start_call(walk, registers, call, message);
	return move_bytes(context, stream, sk, sent);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(bytes_sent, struct sock *sk, int result)
{
	return on_socket_call(ctx, sk, result, 0, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(bytes_received, struct sock *sk, int result, int flags)
{
	return on_socket_call(ctx, sk, result, flags, false);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(connection_ended, struct sock *sk, int __attribute__((unused)) from, int to)
{
	struct socket_stream *stream;

	if (to != TCP_STATE_CLOSE)
		return 0;
	stream = bpf_sk_storage_get(&streams, sk, 0, 0);
	if (stream)
		end_stream(ctx, stream, sk);
	return 0;
}

/* Run every second: reports what was answered and is followed by nothing. */
SEC("iter/bpf_sk_storage_map")
int report_idle(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct socket_stream *stream = ctx->value;
	const struct sock *sk = (const void *)ctx->sk;

	if (stream && sk)
		report_when_idle(ctx, stream, sk);
	return 0;
}

#endif

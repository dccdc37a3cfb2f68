/* The tap for kernels that have trampolines and no socket tracepoints: the end of the functions that read and write. Sees the
 * arguments, what was moved and where, also for io_uring. */
#ifndef HONEYGUIDE_FUNCTION_ENDS_BPF_H
#define HONEYGUIDE_FUNCTION_ENDS_BPF_H

#include "streams_by_address.bpf.h"
#include "iov_iter.bpf.h"

/* message: NULL when the bytes never were in the program's memory. */
static __noinline int on_function(void *context, const struct sock *sk, const struct msghdr *message, long result, bool sent)
{
	struct socket_stream *stream;

	stream = stream_of_sock(context, sk, result, sent);
	if (!stream)
		return 0;
	if (message)
		start_moved_iter(&stream->walks[sent & 1], &message->msg_iter, result);
	else
		start_blind(&stream->walks[sent & 1], result);
	return move_bytes(context, stream, sk, sent);
}

static __always_inline int on_message(void *context, const struct socket *socket, const struct msghdr *message, int result,
				      int flags, bool sent)
{
	const struct sock *sk = socket->sk;

	if (result < 0 || (flags & MESSAGE_PEEK) || !sk || !carries_requests_of(sk))
		return 0;
	return on_function(context, sk, message, result, sent);
}

SEC("fexit/inet_sendmsg")
int BPF_PROG(inet_sent, struct socket *socket, struct msghdr *message, size_t size, int result)
{
	return on_message(ctx, socket, message, result, size & 0, true);
}

SEC("fexit/inet6_sendmsg")
int BPF_PROG(inet6_sent, struct socket *socket, struct msghdr *message, size_t size, int result)
{
	return on_message(ctx, socket, message, result, size & 0, true);
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(unix_sent, struct socket *socket, struct msghdr *message, size_t size, int result)
{
	return on_message(ctx, socket, message, result, size & 0, true);
}

SEC("fexit/inet_recvmsg")
int BPF_PROG(inet_received, struct socket *socket, struct msghdr *message, size_t size, int flags, int result)
{
	return on_message(ctx, socket, message, result, flags | (size & 0), false);
}

SEC("fexit/inet6_recvmsg")
int BPF_PROG(inet6_received, struct socket *socket, struct msghdr *message, size_t size, int flags, int result)
{
	return on_message(ctx, socket, message, result, flags | (size & 0), false);
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(unix_received, struct socket *socket, struct msghdr *message, size_t size, int flags, int result)
{
	return on_message(ctx, socket, message, result, flags | (size & 0), false);
}

/* sendfile and splice before 6.5 (dc97391e6610); later they come as messages. Arguments: the socket first, five in all. */
#define PAGES_PROGRAM(name, sent)                                                            \
	int name(__u64 *ctx)                                                                     \
	{                                                                                        \
		return on_message(ctx, (const struct socket *)ctx[0], NULL, (int)ctx[5], 0, sent);   \
	}

SEC("fexit/inet_sendpage")
PAGES_PROGRAM(inet_pages_sent, true)

SEC("fexit/unix_stream_sendpage")
PAGES_PROGRAM(unix_pages_sent, true)

SEC("fexit/tcp_splice_read")
PAGES_PROGRAM(tcp_spliced, false)

SEC("fexit/unix_stream_splice_read")
PAGES_PROGRAM(unix_spliced, false)

SEC("fentry/unix_release")
int BPF_PROG(unix_closed, struct socket *socket)
{
	const struct sock *sk = socket->sk;

	return sk ? end_sock(ctx, sk) : 0;
}

#endif

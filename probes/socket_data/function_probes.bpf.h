/* The tap for kernels with probes of functions only (arm64 before 6.0): what a call is about to move is kept until it ends. */
#ifndef HONEYGUIDE_FUNCTION_PROBES_BPF_H
#define HONEYGUIDE_FUNCTION_PROBES_BPF_H

#include "streams_by_address.bpf.h"
#include "iov_iter.bpf.h"

struct socket_call {
	const struct sock *sk;
	struct buffer_walk walk;
	__u8 sent;
	__u8 pad[7];
};

/* By thread. Calls whose end is not seen (the kernel follows a limited number of returns) leave by age. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct socket_call);
} socket_calls SEC(".maps");

static __noinline int on_call_begins(const struct socket *socket, const struct msghdr *message, bool sent)
{
	const struct sock *sk = BPF_CORE_READ(socket, sk);
	__u64 thread = bpf_get_current_pid_tgid();
	struct socket_call call = {};

	if (!sk || !carries_requests_of(sk))
		return 0;
	call.sk = sk;
	call.sent = sent;
	if (message)
		start_iter(&call.walk, &message->msg_iter);
	bpf_map_update_elem(&socket_calls, &thread, &call, BPF_ANY);
	return 0;
}

SEC("kprobe/inet_sendmsg,inet6_sendmsg,unix_stream_sendmsg")
int send_begins(struct pt_regs *ctx)
{
	return on_call_begins((const void *)PT_REGS_PARM1(ctx), (const void *)PT_REGS_PARM2(ctx), true);
}

SEC("kprobe/inet_recvmsg,inet6_recvmsg,unix_stream_recvmsg")
int receive_begins(struct pt_regs *ctx)
{
	if (PT_REGS_PARM4(ctx) & MESSAGE_PEEK)
		return 0;
	return on_call_begins((const void *)PT_REGS_PARM1(ctx), (const void *)PT_REGS_PARM2(ctx), false);
}

/* sendfile and splice before 6.5 (dc97391e6610); later they come as messages. */
SEC("kprobe/inet_sendpage,unix_stream_sendpage")
int send_pages_begins(struct pt_regs *ctx)
{
	return on_call_begins((const void *)PT_REGS_PARM1(ctx), NULL, true);
}

SEC("kprobe/tcp_splice_read,unix_stream_splice_read")
int splice_begins(struct pt_regs *ctx)
{
	return on_call_begins((const void *)PT_REGS_PARM1(ctx), NULL, false);
}

static __noinline int on_call_ended(void *context, const struct socket_call *call, long result)
{
	bool sent = call->sent;
	struct socket_stream *stream = stream_of_sock(context, call->sk, result, sent);
	struct buffer_walk *walk;

	if (!stream)
		return 0;
	walk = &stream->walks[sent & 1];
	*walk = call->walk;
	walk->left = walk->length = result;
	if (walk->now.piece > (__u64)result)
		walk->now.piece = walk->begin.piece = result;
	return move_bytes(context, stream, call->sk, sent);
}

SEC("kretprobe/inet_sendmsg,inet6_sendmsg,unix_stream_sendmsg,inet_recvmsg,inet6_recvmsg,unix_stream_recvmsg,"
    "inet_sendpage,unix_stream_sendpage,tcp_splice_read,unix_stream_splice_read")
int socket_call_ends(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct socket_call *call = bpf_map_lookup_elem(&socket_calls, &thread);
	int result = PT_REGS_RC(ctx);

	if (!call)
		return 0;
	if (result >= 0)
		on_call_ended(ctx, call, result);
	bpf_map_delete_elem(&socket_calls, &thread);
	return 0;
}

SEC("kprobe/unix_release")
int unix_release_begins(struct pt_regs *ctx)
{
	const struct socket *socket = (const void *)PT_REGS_PARM1(ctx);
	const struct sock *sk = BPF_CORE_READ(socket, sk);

	return sk ? end_sock(ctx, sk) : 0;
}

#endif

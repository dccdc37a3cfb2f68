/* What a tap keeps of a socket, and what it does with what one call moved. Every tap is a header of its own: it finds the
 * socket and the bytes in its own way and ends in `move_bytes`. */
#ifndef HONEYGUIDE_STREAMS_BPF_H
#define HONEYGUIDE_STREAMS_BPF_H

#include "flow.bpf.h"
#include "stream_machine.bpf.h"

#define SOCKET_IS_STREAM 1 /* SOCK_STREAM */
#define ADDRESS_FAMILY_UNIX 1
#define PROTOCOL_TCP 6
#define MESSAGE_PEEK 0x2   /* MSG_PEEK: the bytes stay and will be read again */
#define TCP_STATE_CLOSE 7

/* A sendmmsg or recvmmsg under way. */
struct message_vector {
	__u64 start;
	__u32 next;
	__u32 pad;
};

/* walks, messages: by direction, since two threads may read and write at the same time. */
struct socket_stream {
	struct stream_state state;
	struct buffer_walk walks[2];
	struct message_vector messages[2];
	__u64 inode; /* of the socket: whether what is at this address is still the same one; 0 where nobody asks */
};

/* An accepted unix socket has its listener's name, the one that connected rarely has any (unix_stream_connect). */
static __always_inline enum stream_role role_of_unix(const struct unix_sock *sk)
{
	const struct unix_sock *peer = (const void *)BPF_CORE_READ(sk, peer);

	if (BPF_CORE_READ(sk, addr))
		return STREAM_ROLE_SERVER;
	return peer && BPF_CORE_READ(peer, addr) ? STREAM_ROLE_CLIENT : STREAM_ROLE_UNKNOWN;
}

static __noinline int start_stream(struct stream_state *state, const struct sock *sk, bool sent)
{
	state->owner.cgroup = cgroup_id_of_sock(sk);
	state->owner.netns = netns_of_sock(sk);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == ADDRESS_FAMILY_UNIX) {
		state->owner.transport = STREAM_TRANSPORT_UNIX;
		state->owner.role = role_of_unix((const void *)sk);
	} else {
		note_tcp_ends(&state->owner, sk);
	}
	begin_stream(state, new_flow(sent ? FLOW_SOURCE_EVENTS : FLOW_SOURCE_READS), sent);
	return 0;
}

static __always_inline int no_room_for_stream(void)
{
	COUNT(ACCOUNT_STREAMS, seen);
	COUNT(ACCOUNT_STREAMS, dropped_map_full);
	return 0;
}

/* What one call moved; the walk of that direction stands at its beginning. */
static __noinline int move_bytes(void *context, struct socket_stream *stream, bool sent)
{
	on_bytes(context, &stream->state, &stream->walks[sent & 1], sent);
	return 0;
}

static __always_inline void report_when_idle(void *context, struct stream_state *state)
{
	if (state->answered && bpf_ktime_get_boot_ns() - state->response_ended_at > IDLE_NS)
		report_exchange(context, state, EXCHANGE_END_IDLE);
}

#endif

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
#define CLOSED_FOR_READING 1 /* RCV_SHUTDOWN */
#define CLOSED_FOR_WRITING 2 /* SEND_SHUTDOWN */

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
	__u32 answer_begin; /* place of the answer's first byte in the TCP stream */
	__u32 pad;
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

/* How far the program has written answers, or read them. */
static __always_inline __u32 place_of_answer(const struct stream_state *state, const struct tcp_sock *tcp)
{
	return state->asks_by_sending ? BPF_CORE_READ(tcp, copied_seq) : BPF_CORE_READ(tcp, write_seq);
}

/* A FIN that was sent or read counts as one byte. */
static __always_inline bool counts_its_end(const struct stream_state *state, const struct tcp_sock *tcp, __u32 place)
{
	__u8 closed = BPF_CORE_READ_BITFIELD_PROBED((const struct sock *)tcp, sk_shutdown);

	if (!state->asks_by_sending)
		return closed & CLOSED_FOR_WRITING;
	return (closed & CLOSED_FOR_READING) && place == BPF_CORE_READ(tcp, rcv_nxt);
}

/* TCP's own books tell of what calls moved that no tap sees: splice, and sendfile in 6.3 and 6.4. Not where something in the
 * kernel (kTLS) makes other bytes of those that the program writes. */
static __noinline int count_unseen(struct socket_stream *stream, const struct sock *sk, __u32 place)
{
	const struct inet_connection_sock *connection = (const void *)sk;
	struct stream_state *state = &stream->state;
	__s32 unseen = place - stream->answer_begin - (__u32)state->response_bytes;

	if (unseen > 0)
		unseen -= counts_its_end(state, (const void *)sk, place);
	if (unseen <= 0 || BPF_CORE_READ(connection, icsk_ulp_ops))
		return 0;
	state->response_bytes += unseen;
	if (!state->answered) {
		state->answered = 1;
		state->response_started_at = bpf_ktime_get_boot_ns();
		state->response_ended_at = state->response_started_at;
	}
	return 0;
}

static __always_inline void close_books(struct socket_stream *stream, const struct sock *sk)
{
	if (stream->state.request_bytes && stream->state.owner.transport == STREAM_TRANSPORT_TCP)
		count_unseen(stream, sk, place_of_answer(&stream->state, (const void *)sk));
}

/* What one call moved; the walk of that direction stands at its beginning. What asks does not move the place of the answer. */
static __noinline int move_bytes(void *context, struct socket_stream *stream, const struct sock *sk, bool sent)
{
	struct stream_state *state = &stream->state;
	bool begins = sent == state->asks_by_sending && state->owner.transport == STREAM_TRANSPORT_TCP
		&& state->mode != STREAM_MODE_CHUNKS;
	__u32 place = 0;

	if (begins) {
		place = place_of_answer(state, (const void *)sk);
		if (state->request_bytes && place - stream->answer_begin != (__u32)state->response_bytes)
			count_unseen(stream, sk, place);
	}
	on_bytes(context, state, &stream->walks[sent & 1], sent);
	if (begins && !state->answered)
		stream->answer_begin = place;
	return 0;
}

static __always_inline void end_stream(void *context, struct socket_stream *stream, const struct sock *sk)
{
	close_books(stream, sk);
	on_end(context, &stream->state);
}

static __always_inline void report_when_idle(void *context, struct socket_stream *stream, const struct sock *sk)
{
	struct stream_state *state = &stream->state;

	if (!state->request_bytes || bpf_ktime_get_boot_ns() - state->request_ended_at < IDLE_NS)
		return;
	close_books(stream, sk);
	if (state->answered && bpf_ktime_get_boot_ns() - state->response_ended_at > IDLE_NS)
		report_exchange(context, state, EXCHANGE_END_IDLE);
}

#endif

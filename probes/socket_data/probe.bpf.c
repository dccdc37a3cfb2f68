/* Requests on plain-text TCP and unix stream sockets. One look per socket read or write; files never come here, and a
 * connection that nobody can read leaves after a look at its state. */
#include "probe.bpf.h"
#include "flow.bpf.h"
#include "stream_machine.bpf.h"

#define SOCKET_IS_STREAM 1              /* SOCK_STREAM */
#define ADDRESS_FAMILY_UNIX 1
#define PROTOCOL_TCP 6
#define MESSAGE_PEEK 0x2                /* MSG_PEEK: the bytes stay and will be read again */
#define TCP_STATE_CLOSE 7

/* Goes with its socket, so that a new socket at the same address never inherits it. 5.11 for tracing programs
 * (8e4597c627fb). */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stream_state);
} streams SEC(".maps");

/* An accepted unix socket has its listener's name, the one that connected rarely has any (unix_stream_connect). */
static __always_inline enum stream_role role_of_unix(const struct unix_sock *sk)
{
	const struct unix_sock *peer = (const void *)BPF_CORE_READ(sk, peer);

	if (BPF_CORE_READ(sk, addr))
		return STREAM_ROLE_SERVER;
	return peer && BPF_CORE_READ(peer, addr) ? STREAM_ROLE_CLIENT : STREAM_ROLE_UNKNOWN;
}

static __noinline int start_stream(struct stream_state *state, struct sock *sk, bool sent)
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

static __always_inline bool carries_requests(const struct sock *sk)
{
	if (sk->__sk_common.skc_family == ADDRESS_FAMILY_UNIX)
		return sk->sk_type == SOCKET_IS_STREAM;
	return sk->sk_protocol == PROTOCOL_TCP;
}

static __always_inline int on_call(void *context, struct sock *sk, int result, int flags, bool sent)
{
	struct stream_state *state;
	struct buffer_walk walk;
	bool readable;

	if (!carries_requests(sk) || result < 0 || (flags & MESSAGE_PEEK))
		return 0;
	state = bpf_sk_storage_get(&streams, sk, 0, 0);
	if (!state) {
		if (result == 0)
			return 0;
		state = bpf_sk_storage_get(&streams, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!state) {
			COUNT(ACCOUNT_STREAMS, seen);
			COUNT(ACCOUNT_STREAMS, dropped_map_full);
			return 0;
		}
		start_stream(state, sk, sent);
	}
	if (state->mode == STREAM_MODE_IGNORED)
		return 0;
	if (result == 0) {
		if (!sent)
			on_end(context, state);
		return 0;
	}
	readable = start_walk(&walk, result);
	on_bytes(context, state, &walk, readable, sent);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(bytes_sent, struct sock *sk, int result)
{
	return on_call(ctx, sk, result, 0, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(bytes_received, struct sock *sk, int result, int flags)
{
	return on_call(ctx, sk, result, flags, false);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(connection_ended, struct sock *sk, int __attribute__((unused)) from, int to)
{
	struct stream_state *state;

	if (to != TCP_STATE_CLOSE)
		return 0;
	state = bpf_sk_storage_get(&streams, sk, 0, 0);
	if (state)
		on_end(ctx, state);
	return 0;
}

/* Run every second: reports what was answered and is followed by nothing. */
SEC("iter/bpf_sk_storage_map")
int report_idle(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct stream_state *state = ctx->value;

	if (!state || !ctx->sk)
		return 0;
	if (state->answered && bpf_ktime_get_boot_ns() - state->response_ended_at > IDLE_NS)
		report_exchange(ctx, state, EXCHANGE_END_IDLE);
	return 0;
}

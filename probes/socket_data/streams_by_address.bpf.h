/* Streams of taps that know a socket by its address only: found in a table, and forgotten when the socket ends. */
#ifndef HONEYGUIDE_STREAMS_BY_ADDRESS_BPF_H
#define HONEYGUIDE_STREAMS_BY_ADDRESS_BPF_H

#include "streams.bpf.h"

/* Preallocated: older kernels warn when programs of some of these kinds allocate. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct socket_stream);
} address_streams SEC(".maps");

/* What a new stream starts as: too large for the stack, never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct socket_stream);
} new_stream SEC(".maps");

static __always_inline bool carries_requests_of(const struct sock *sk)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == ADDRESS_FAMILY_UNIX)
		return BPF_CORE_READ(sk, sk_type) == SOCKET_IS_STREAM;
	return BPF_CORE_READ(sk, sk_protocol) == PROTOCOL_TCP;
}

/* 0 for a socket that no file holds any more. */
static __always_inline __u64 inode_of_sock(const struct sock *sk)
{
	const void *socket = BPF_CORE_READ(sk, sk_socket);

	if (!socket)
		return 0;
	socket -= bpf_core_field_offset(struct socket_alloc, socket);
	return BPF_CORE_READ((const struct socket_alloc *)socket, vfs_inode.i_ino);
}

static __always_inline struct socket_stream *add_stream(const struct sock *sk, __u64 inode, bool sent)
{
	__u64 address = (__u64)sk;
	struct socket_stream *stream, *empty;
	__u32 zero = 0;

	empty = bpf_map_lookup_elem(&new_stream, &zero);
	if (!empty || bpf_map_update_elem(&address_streams, &address, empty, BPF_NOEXIST)) {
		no_room_for_stream();
		return NULL;
	}
	stream = bpf_map_lookup_elem(&address_streams, &address);
	if (stream) {
		stream->inode = inode;
		start_stream(&stream->state, sk, sent);
	}
	return stream;
}

/* The stream of a socket that has just moved `result` bytes; NULL when that is nothing to look at further. */
static __noinline struct socket_stream *stream_of_sock(void *context, const struct sock *sk, long result, bool sent)
{
	__u64 address = (__u64)sk, inode = inode_of_sock(sk);
	struct socket_stream *stream = bpf_map_lookup_elem(&address_streams, &address);

	if (stream && stream->inode != inode) { /* the end of the socket that was here before was not seen */
		on_end(context, &stream->state);
		bpf_map_delete_elem(&address_streams, &address);
		stream = NULL;
	}
	if (!stream) {
		if (result <= 0 || !inode)
			return NULL;
		stream = add_stream(sk, inode, sent);
	}
	if (!stream || stream->state.mode == STREAM_MODE_IGNORED)
		return NULL;
	if (result == 0) {
		if (!sent)
			end_stream(context, stream, sk);
		return NULL;
	}
	return stream;
}

static __always_inline int end_sock(void *context, const struct sock *sk)
{
	__u64 address = (__u64)sk;
	struct socket_stream *stream = bpf_map_lookup_elem(&address_streams, &address);

	if (!stream)
		return 0;
	end_stream(context, stream, sk);
	bpf_map_delete_elem(&address_streams, &address);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(address_connection_ended, struct sock *sk, int __attribute__((unused)) from, int to)
{
	return to == TCP_STATE_CLOSE ? end_sock(ctx, sk) : 0;
}

/* Run every second: reports what was answered and is followed by nothing, and forgets sockets that are gone. */
SEC("iter/bpf_map_elem")
int report_idle_addresses(struct bpf_iter__bpf_map_elem *ctx)
{
	struct socket_stream *stream = ctx->value;
	const __u64 *address = ctx->key;
	__u64 place;

	if (!stream || !address)
		return 0;
	place = *address;
	if (stream->inode == inode_of_sock((const struct sock *)place)) {
		report_when_idle(ctx, stream, (const struct sock *)place);
		return 0;
	}
	on_end(ctx, &stream->state);
	bpf_map_delete_elem(&address_streams, &place);
	return 0;
}

#endif

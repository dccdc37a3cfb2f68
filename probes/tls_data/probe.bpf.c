/* Requests under TLS, as plain text at the door of the library: what SSL_read gave and SSL_write took. Which socket carries a
 * connection is seen when one of these functions reads or writes TLS records on it; a program that moves the records itself
 * (memory BIO) never shows that, and its addresses stay unknown. */
#include "probe.bpf.h"
#include "stream_machine.bpf.h"
#include "calls.bpf.h"
#include "system_call.bpf.h"

#define PROTOCOL_TCP 6
#define FORGOTTEN_NS 600000000000ULL    /* silent for so long: its process may have ended without SSL_free */
#define RETURN_ADDRESS_BYTES 8          /* on the stack while a function runs, where calls put it there */
#define RECORD_TYPE_FIRST 20            /* change_cipher_spec .. application_data, RFC 8446 section 5.1 */
#define RECORD_TYPE_LAST 23
#define RECORD_VERSION_MAJOR 3
#define CPU_BITS 9
#define FLOW_BITS 53

struct tls_key {
	__u64 ssl;
	process_id process;
	__u32 pad;
};

struct tls_stream {
	struct stream_state state;
	boot_ns seen_at;
	enum stream_role declared;  /* by SSL_set_connect_state or SSL_set_accept_state */
	__u8 knows_socket;
	__u8 pad[3];
};

/* Preallocated: these programs run anywhere in a process, and older kernels warn when such programs allocate. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tls_key);
	__type(value, struct tls_stream);
} tls_streams SEC(".maps");

/* What a new stream starts as: too large for the stack, never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tls_stream);
} new_tls_stream SEC(".maps");

static __always_inline struct tls_key key_of(__u64 ssl)
{
	struct tls_key key = { ssl, bpf_get_current_pid_tgid() >> 32, 0 };

	return key;
}

static __always_inline struct tls_stream *stream_of(const struct tls_key *key)
{
	__u32 zero = 0;
	struct tls_stream *stream = bpf_map_lookup_elem(&tls_streams, key), *empty;

	if (stream)
		return stream;
	empty = bpf_map_lookup_elem(&new_tls_stream, &zero);
	if (!empty || bpf_map_update_elem(&tls_streams, key, empty, BPF_NOEXIST)) {
		COUNT(ACCOUNT_STREAMS, seen);
		COUNT(ACCOUNT_STREAMS, dropped_map_full);
		return NULL;
	}
	return bpf_map_lookup_elem(&tls_streams, key);
}

/* By the clock and the CPU: a counter could be read twice, since these programs can be preempted. */
static __always_inline flow_id flow_by_clock(void)
{
	__u64 cpu = bpf_get_smp_processor_id() & ((1 << CPU_BITS) - 1);

	return (bpf_ktime_get_boot_ns() >> 3 << CPU_BITS | cpu) & ((1ULL << FLOW_BITS) - 1);
}

static __always_inline int on_enter(struct pt_regs *context, bool sent, const __u64 *moved)
{
	struct tls_call *call = push_call(context);
	struct tls_stream *stream;
	struct tls_key key;

	if (!call) {
		COUNT(ACCOUNT_STREAMS, seen);
		COUNT(ACCOUNT_STREAMS, dropped_map_full);
		return 0;
	}
	call->ssl = PT_REGS_PARM1(context);
	call->buffer = (const void *)PT_REGS_PARM2(context);
	call->limit = PT_REGS_PARM3(context);
	call->moved = moved;
	call->sent = sent;
	call->found_socket = 0;
	key = key_of(call->ssl);
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	call->wants_socket = !stream || (!stream->knows_socket && stream->state.mode != STREAM_MODE_IGNORED);
	return 0;
}

SEC("uprobe/libssl:SSL_read")
int read_begins(struct pt_regs *ctx)
{
	return on_enter(ctx, false, NULL);
}

SEC("uprobe/libssl:SSL_write")
int write_begins(struct pt_regs *ctx)
{
	return on_enter(ctx, true, NULL);
}

SEC("uprobe/libssl:SSL_read_ex")
int read_ex_begins(struct pt_regs *ctx)
{
	return on_enter(ctx, false, (const void *)PT_REGS_PARM4(ctx));
}

SEC("uprobe/libssl:SSL_write_ex")
int write_ex_begins(struct pt_regs *ctx)
{
	return on_enter(ctx, true, (const void *)PT_REGS_PARM4(ctx));
}

/* OpenSSL 3.3: SSL_write_ex calls it. */
SEC("uprobe/libssl:SSL_write_ex2")
int write_ex2_begins(struct pt_regs *ctx)
{
	return on_enter(ctx, true, (const void *)PT_REGS_PARM5(ctx));
}

/* 0 when nothing was moved: an error, or a socket that is not ready. */
static __always_inline __u64 bytes_moved(const struct tls_call *call, int result)
{
	__u64 moved = 0;

	if (result <= 0 || !call->moved)
		return result > 0 ? result : 0;
	if (bpf_probe_read_user(&moved, sizeof(moved), call->moved) || moved > call->limit)
		return 0;
	return moved;
}

/* What the socket says comes after what the program said; a role of its own turns a direction that was only assumed. */
static __always_inline void learn_socket(struct tls_stream *stream, const struct stream_owner *found)
{
	struct stream_state *state = &stream->state;

	stream->knows_socket = 1;
	state->owner.netns = found->netns;
	state->owner.local_address = found->local_address;
	state->owner.remote_address = found->remote_address;
	state->owner.local_port = found->local_port;
	state->owner.remote_port = found->remote_port;
	if (state->owner.role != STREAM_ROLE_UNKNOWN || found->role == STREAM_ROLE_UNKNOWN)
		return;
	state->owner.role = found->role;
	if (state->asks_by_sending != (found->role == STREAM_ROLE_CLIENT)) {
		state->asks_by_sending = found->role == STREAM_ROLE_CLIENT;
		forget_exchange(state);
	}
}

/* The stream that a call belongs to, begun by its first bytes; NULL when there is no room for it. */
static __noinline struct tls_stream *stream_of_call(const struct tls_call *call)
{
	struct tls_key key = key_of(call->ssl);
	struct tls_stream *stream = stream_of(&key);
	struct stream_state *state;

	if (!stream)
		return NULL;
	state = &stream->state;
	if (call->found_socket)
		learn_socket(stream, &call->found);
	if (!state->flow) {
		if (stream->declared != STREAM_ROLE_UNKNOWN)
			state->owner.role = stream->declared;
		state->owner.cgroup = bpf_get_current_cgroup_id();
		begin_stream(state, flow_by_clock(), call->sent);
	}
	stream->seen_at = bpf_ktime_get_boot_ns();
	return stream;
}

static __always_inline void on_moved(struct pt_regs *context, struct tls_call *call, __u64 length)
{
	struct tls_stream *stream = stream_of_call(call);

	start_blind(&call->walk, length);
	start_buffer(&call->walk, call->buffer, length);
	if (stream && stream->state.mode != STREAM_MODE_IGNORED)
		on_bytes(context, &stream->state, &call->walk, call->sent);
}

SEC("uretprobe/libssl:SSL_read,SSL_write,SSL_read_ex,SSL_write_ex,SSL_write_ex2")
int call_ends(struct pt_regs *ctx)
{
	struct tls_thread *thread = known_thread();
	__u64 stack = PT_REGS_SP(ctx), length;
	struct tls_call *call;

	if (!thread || !thread->depth)
		return 0;
	call = thread->depth == 1 ? &thread->calls[0] : &thread->calls[1];
	if (call->stack > stack || stack - call->stack > RETURN_ADDRESS_BYTES)
		return 0; /* a call that was under way when the hook came */
	thread->depth--;
	call->wants_socket = 0;
	length = bytes_moved(call, PT_REGS_RC(ctx));
	if (length && call->ssl)
		on_moved(ctx, call, length);
	if (thread->depth == 1 && thread->calls[0].ssl == call->ssl)
		thread->calls[0].ssl = 0; /* one of these functions called another: the same bytes */
	return 0;
}

static __always_inline bool is_record_header(const __u8 *header)
{
	return header[0] >= RECORD_TYPE_FIRST && header[0] <= RECORD_TYPE_LAST && header[1] == RECORD_VERSION_MAJOR;
}

/* Any socket read or write; of interest only inside a TLS call that still looks for its socket, and only when it moves TLS
 * records: a call-back may do other things on other sockets. */
static __always_inline int on_socket(struct sock *sk, int result)
{
	struct tls_thread *thread = known_thread();
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct buffer_walk walk;
	struct tls_call *call;
	__u8 header[2];

	if (!thread || !thread->depth)
		return 0;
	call = thread->depth == 1 ? &thread->calls[0] : &thread->calls[1];
	if (!call->wants_socket || result < (int)sizeof(header) || sk->sk_protocol != PROTOCOL_TCP)
		return 0;
	start_blind(&walk, result);
	start_call(&walk, registers, CALL_NUMBER(registers), 0);
	if (!next_piece(&walk) || walk.now.piece < sizeof(header))
		return 0;
	if (bpf_probe_read_user(header, sizeof(header), walk.now.start) || !is_record_header(header))
		return 0;
	note_tcp_ends(&call->found, sk);
	call->found.netns = netns_of_sock(sk);
	call->found_socket = 1;
	call->wants_socket = 0;
	return 0;
}

SEC("tp_btf/sock_send_length")
int record_sent(__u64 *ctx)
{
	return on_socket((void *)ctx[0], ctx[1]);
}

SEC("tp_btf/sock_recv_length")
int record_received(__u64 *ctx)
{
	return on_socket((void *)ctx[0], ctx[1]);
}

static __always_inline void end_stream(void *context, const struct tls_key *key)
{
	struct tls_stream *stream = bpf_map_lookup_elem(&tls_streams, key);

	if (!stream)
		return;
	if (stream->state.flow)
		on_end(context, &stream->state);
	bpf_map_delete_elem(&tls_streams, key);
}

/* The beginning of a connection, also of one whose object served another before. */
static __always_inline int on_role(struct pt_regs *context, enum stream_role role)
{
	struct tls_key key = key_of(PT_REGS_PARM1(context));
	struct tls_stream *stream;

	end_stream(context, &key);
	stream = stream_of(&key);
	if (stream) {
		stream->declared = role;
		stream->seen_at = bpf_ktime_get_boot_ns();
	}
	return 0;
}

SEC("uprobe/libssl:SSL_set_connect_state")
int becomes_client(struct pt_regs *ctx)
{
	return on_role(ctx, STREAM_ROLE_CLIENT);
}

SEC("uprobe/libssl:SSL_set_accept_state")
int becomes_server(struct pt_regs *ctx)
{
	return on_role(ctx, STREAM_ROLE_SERVER);
}

SEC("uprobe/libssl:SSL_free,SSL_clear")
int connection_freed(struct pt_regs *ctx)
{
	struct tls_key key = key_of(PT_REGS_PARM1(ctx));

	end_stream(ctx, &key);
	return 0;
}

/* Run every second: reports what was answered and is followed by nothing, and forgets what is silent for long. */
SEC("iter/bpf_map_elem")
int report_idle(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tls_stream *stream = ctx->value;
	const struct tls_key *place = ctx->key;
	__u64 now = bpf_ktime_get_boot_ns();
	struct tls_key key;

	if (!stream || !place)
		return 0;
	if (stream->state.answered && now - stream->state.response_ended_at > IDLE_NS)
		report_exchange(ctx, &stream->state, EXCHANGE_END_IDLE);
	if (now - stream->seen_at > FORGOTTEN_NS) {
		key = *place;
		if (stream->state.flow)
			on_end(ctx, &stream->state);
		bpf_map_delete_elem(&tls_streams, &key);
	}
	return 0;
}

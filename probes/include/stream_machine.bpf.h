/* Takes the bytes of connections in order and reports exchanges or chunks: what all taps of bytes share, with their rings and
 * books. A tap keeps one struct stream_state per connection, starts it with `begin_stream` and feeds it with `on_bytes`. */
#ifndef HONEYGUIDE_STREAM_MACHINE_BPF_H
#define HONEYGUIDE_STREAM_MACHINE_BPF_H

#include "exchange.bpf.h"
#include "user_buffer.bpf.h"

#define IDLE_NS 1000000000ULL           /* so long after its last byte an answer is whole */
#define UNDECIDED_MAX_NS 5000000000ULL  /* so long without a word from user space: nobody can read this connection */
#define HEAD_PIECES 8           /* of one call's vector that the beginning of a message is put together of */
#define CHUNKS_PER_CALL 16

/* At most `limit`. In assembler, so that every copy has the bound: the verifier of 6.1 does not believe it of a copy that was
 * put on the stack before its register was compared. */
#define BOUND(number, limit) \
	asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(number) : "i"(limit))

enum account { ACCOUNT_STREAMS, ACCOUNT_EXCHANGES, ACCOUNT_RESTS, ACCOUNT_CHUNKS, ACCOUNT_COUNT };

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(exchanges, struct socket_exchange);
RECORD_RING(request_rests, struct request_rest);
RECORD_RING(chunks, struct socket_chunk);

/* What user space has learned about a connection: flow -> enum stream_mode. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, flow_id);
	__type(value, __u32);
} stream_modes SEC(".maps");

/* User space counts it up after it has changed `stream_modes`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} mode_generation SEC(".maps");

/* A client's SYN counts as one acknowledged byte, a server's does not; see probes/tcp. */
static __always_inline enum stream_role role_of_tcp(const struct tcp_sock *tcp)
{
	__u64 acknowledged = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans)
		- (BPF_CORE_READ(tcp, snd_nxt) - BPF_CORE_READ(tcp, snd_una));
	__u64 counted = BPF_CORE_READ(tcp, bytes_acked);

	if (counted == acknowledged + 1)
		return STREAM_ROLE_CLIENT;
	return counted == acknowledged ? STREAM_ROLE_SERVER : STREAM_ROLE_UNKNOWN;
}

static __always_inline void note_tcp_ends(struct stream_owner *owner, const struct sock *sk)
{
	owner->role = role_of_tcp((const void *)sk);
	read_sock_addresses(sk, &owner->local_address, &owner->remote_address);
	owner->local_port = local_port_of_sock(sk);
	owner->remote_port = remote_port_of_sock(sk);
}

static __always_inline void note_caller(struct stream_state *state)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct process_identity identity = {};
	__u64 both = bpf_get_current_pid_tgid();

	state->owner.thread = both;
	if (state->owner.process == both >> 32 || !identify_process(task, &identity))
		return;
	state->owner.process = identity.process;
	state->owner.process_started_at = identity.process_started_at;
	__builtin_memcpy(state->owner.command, identity.command, sizeof(state->owner.command));
}

/* The owner's role, cgroup and ends are filled in already. sent: the direction of the first bytes, which asks when the role
 * is not known. */
static __always_inline void begin_stream(struct stream_state *state, flow_id flow, bool sent)
{
	COUNT(ACCOUNT_STREAMS, seen);
	state->flow = flow;
	state->started_at = bpf_ktime_get_boot_ns();
	note_caller(state);
	state->asks_by_sending = state->owner.role == STREAM_ROLE_UNKNOWN ? sent : state->owner.role == STREAM_ROLE_CLIENT;
	if (state->owner.process == agent_process_id || !state->owner.process) {
		state->mode = STREAM_MODE_IGNORED;
		COUNT(ACCOUNT_STREAMS, filtered);
	} else {
		COUNT(ACCOUNT_STREAMS, emitted);
	}
}

#define COPY_OWNER(record, state)                                                   \
	({                                                                              \
		(record)->process_started_at = (state)->owner.process_started_at;           \
		(record)->cgroup = (state)->owner.cgroup;                                   \
		(record)->local_address = (state)->owner.local_address;                     \
		(record)->remote_address = (state)->owner.remote_address;                   \
		__builtin_memcpy((record)->command, (state)->owner.command, sizeof((record)->command)); \
		(record)->netns = (state)->owner.netns;                                     \
		(record)->process = (state)->owner.process;                                 \
		(record)->thread = (state)->owner.thread;                                   \
		(record)->role = (state)->owner.role;                                       \
		(record)->transport = (state)->owner.transport;                             \
		(record)->local_port = (state)->owner.local_port;                           \
		(record)->remote_port = (state)->owner.remote_port;                         \
	})

static __always_inline void forget_exchange(struct stream_state *state)
{
	state->request_bytes = 0;
	state->response_bytes = 0;
	state->request_captured = 0;
	state->response_captured = 0;
	state->response_started_at = 0;
	state->response_ended_at = 0;
	state->answered = 0;
}

static __always_inline void report_exchange(void *context, struct stream_state *state, enum exchange_end end)
{
	struct socket_exchange *record;

	COUNT(ACCOUNT_EXCHANGES, seen);
	record = RESERVE(exchanges, ACCOUNT_EXCHANGES);
	if (record) {
		record->flow = state->flow;
		record->request_started_at = state->request_started_at;
		record->request_ended_at = state->request_ended_at;
		record->response_started_at = state->response_started_at;
		record->response_ended_at = state->response_ended_at;
		record->request_bytes = state->request_bytes;
		record->response_bytes = state->response_bytes;
		COPY_OWNER(record, state);
		record->sequence = state->sequence;
		record->end = end;
		record->request_captured = state->request_captured;
		record->response_captured = state->response_captured;
		record->pad = 0;
		__builtin_memcpy(record->request, state->heads, REQUEST_BYTES);
		__builtin_memcpy(record->response, state->heads + REQUEST_BYTES, RESPONSE_BYTES);
		SUBMIT(exchanges, record, ACCOUNT_EXCHANGES, context);
	}
	forget_exchange(state);
}

/* The part of a long request head that the state has no room for. */
static __always_inline void report_rest(void *context, struct stream_state *state, const struct buffer_walk *walk)
{
	__u64 length = walk->now.piece;
	struct request_rest *record;

	BOUND(length, REST_BYTES);
	COUNT(ACCOUNT_RESTS, seen);
	record = RESERVE(request_rests, ACCOUNT_RESTS);
	if (!record)
		return;
	record->flow = state->flow;
	record->sequence = state->sequence;
	record->pad = 0;
	record->captured = bpf_probe_read_user(record->bytes, length, walk->now.start) ? 0 : length;
	SUBMIT(request_rests, record, ACCOUNT_RESTS, context);
}

/* Appends to one of the two heads; 0 when nothing more can be. A function of its own for the verifier, as below. */
static __noinline int capture_piece(struct stream_state *state, struct buffer_walk *walk, bool answer)
{
	__u64 captured = answer ? state->response_captured : state->request_captured, take;
	__u8 *head = answer ? state->heads + REQUEST_BYTES : state->heads;

	if (captured >= REQUEST_BYTES || !next_piece(walk))
		return 0;
	take = REQUEST_BYTES - captured;
	if (take > walk->now.piece)
		take = walk->now.piece;
	BOUND(take, REQUEST_BYTES);
	BOUND(captured, REQUEST_BYTES);
	if (bpf_probe_read_user(head + captured, take, walk->now.start))
		return 0;
	take_bytes(walk, take);
	if (answer)
		state->response_captured = captured + take;
	else
		state->request_captured = captured + take;
	return walk->left;
}

static __always_inline void capture(struct stream_state *state, struct buffer_walk *walk, bool answer)
{
	for (int piece = 0; piece < HEAD_PIECES; piece++)
		if (!capture_piece(state, walk, answer))
			break;
}

/* What the first bytes of a connection say at once; everything else is for user space to recognise. */
static __always_inline enum stream_mode mode_of_first_bytes(const struct stream_state *state, __u64 length)
{
	const __u8 *head = state->heads;
	__u32 word = head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];

	switch (word) {
	case 0x50524920: /* "PRI ": HTTP/2, RFC 9113 section 3.4 */
		return STREAM_MODE_CHUNKS;
	case 0x5353482d: /* "SSH-" */
		return STREAM_MODE_IGNORED;
	case 0x47455420: /* "GET " */
	case 0x504f5354: /* "POST" */
	case 0x50555420: /* "PUT " */
	case 0x48454144: /* "HEAD" */
	case 0x44454c45: /* "DELE" */
	case 0x4f505449: /* "OPTI" */
	case 0x50415443: /* "PATC" */
		return STREAM_MODE_EXCHANGES;
	}
	if (word >> 16 == 0x1603) /* a TLS handshake record */
		return STREAM_MODE_IGNORED;
	if (head[0] == '*' && length > REQUEST_BYTES) /* RESP commands, more than one exchange can show */
		return STREAM_MODE_CHUNKS;
	return STREAM_MODE_UNDECIDED;
}

/* An end whose role nothing else says: who sends an HTTP request is the client. False: these are no request but the answer
 * to one that came before we looked, so it is the other direction that asks. */
static __always_inline bool learn_from_first_bytes(struct stream_state *state, __u64 length)
{
	state->mode = mode_of_first_bytes(state, length);
	if (state->owner.role != STREAM_ROLE_UNKNOWN)
		return true;
	if (state->mode == STREAM_MODE_EXCHANGES) {
		state->owner.role = state->asks_by_sending ? STREAM_ROLE_CLIENT : STREAM_ROLE_SERVER;
	} else if (state->heads[0] == 'H' && state->heads[1] == 'T' && state->heads[2] == 'T' && state->heads[3] == 'P') {
		state->asks_by_sending = !state->asks_by_sending;
		state->sequence = 0;
		forget_exchange(state);
		return false;
	}
	return true;
}

static __always_inline void ask_user_space(struct stream_state *state)
{
	flow_id flow = state->flow;
	__u32 zero = 0, *generation = bpf_map_lookup_elem(&mode_generation, &zero), *mode;

	if (!generation || state->modes_seen == *generation)
		return;
	state->modes_seen = *generation;
	mode = bpf_map_lookup_elem(&stream_modes, &flow);
	if (mode)
		state->mode = *mode;
}

static __always_inline void begin_request(struct stream_state *state, __u64 now)
{
	state->sequence++;
	state->request_started_at = now;
	note_caller(state);
	ask_user_space(state);
	if (state->mode == STREAM_MODE_UNDECIDED && now - state->started_at > UNDECIDED_MAX_NS)
		state->mode = STREAM_MODE_IGNORED;
}

static __always_inline void report_chunk(void *context, struct stream_state *state, struct buffer_walk *walk, __u64 length,
					 enum stream_side side, __u64 now)
{
	struct socket_chunk *record;
	__u64 take = length;

	BOUND(take, CHUNK_BYTES);
	COUNT(ACCOUNT_CHUNKS, seen);
	record = RESERVE(chunks, ACCOUNT_CHUNKS);
	if (record) {
		record->flow = state->flow;
		record->observed_at = now;
		record->position = state->position[side & 1];
		record->length = length;
		COPY_OWNER(record, state);
		record->side = side;
		record->closed = length == 0;
		record->captured = 0;
		if (walk && length && !bpf_probe_read_user(record->bytes, take, walk->now.start))
			record->captured = take;
		SUBMIT(chunks, record, ACCOUNT_CHUNKS, context);
	}
	state->position[side & 1] += length;
}

/* A function of its own, so that the verifier forgets between two rounds which way the last one went. */
static __noinline int report_next_chunk(void *context, struct stream_state *state, struct buffer_walk *walk,
					enum stream_side side, __u64 now)
{
	__u64 take;

	if (!next_piece(walk))
		return 0;
	take = walk->now.piece < CHUNK_BYTES ? walk->now.piece : CHUNK_BYTES;
	if (take)
		report_chunk(context, state, walk, take, side, now);
	take_bytes(walk, take);
	return 1;
}

/* All bytes of the call in order; what is not captured is still a chunk, with its length. */
static __noinline int report_chunks(void *context, struct stream_state *state, struct buffer_walk *walk, enum stream_side side)
{
	__u64 now = bpf_ktime_get_boot_ns();

	for (int number = 0; number < CHUNKS_PER_CALL; number++)
		if (!report_next_chunk(context, state, walk, side, now))
			break;
	if (walk->left)
		report_chunk(context, state, NULL, walk->left, side, now);
	return 0;
}

static __always_inline void on_request(void *context, struct stream_state *state, struct buffer_walk *walk)
{
	__u64 now = bpf_ktime_get_boot_ns(), length = walk->left;

	if (state->answered)
		report_exchange(context, state, EXCHANGE_END_NEXT);
	if (!state->request_bytes)
		begin_request(state, now);
	if (walk->readable && state->mode != STREAM_MODE_CHUNKS && state->request_captured < REQUEST_BYTES) {
		bool first = state->request_captured == 0;

		capture(state, walk, false);
		if (first && state->mode == STREAM_MODE_UNDECIDED && state->sequence == 1 && !learn_from_first_bytes(state, length))
			return;
		if (first && walk->now.piece && state->mode < STREAM_MODE_CHUNKS)
			report_rest(context, state, walk);
	}
	if (state->mode == STREAM_MODE_CHUNKS) {
		forget_exchange(state);
		start_again(walk);
		report_chunks(context, state, walk, STREAM_SIDE_CLIENT);
		return;
	}
	state->request_bytes += length;
	state->request_ended_at = now;
}

static __always_inline void on_response(struct stream_state *state, struct buffer_walk *walk)
{
	__u64 now, length = walk->left;

	if (!state->request_bytes)
		return; /* joined in the middle, or the server speaks first */
	now = bpf_ktime_get_boot_ns();
	if (!state->answered) {
		state->answered = 1;
		state->response_started_at = now;
	}
	if (walk->readable && state->response_captured < RESPONSE_BYTES)
		capture(state, walk, true);
	state->response_bytes += length;
	state->response_ended_at = now;
}

static __always_inline void on_end(void *context, struct stream_state *state)
{
	if (state->mode == STREAM_MODE_CHUNKS)
		report_chunk(context, state, NULL, 0, STREAM_SIDE_CLIENT, bpf_ktime_get_boot_ns());
	else if (state->mode != STREAM_MODE_IGNORED && state->request_bytes)
		report_exchange(context, state, EXCHANGE_END_CLOSED);
}

/* What one call moved. */
static __always_inline void on_bytes(void *context, struct stream_state *state, struct buffer_walk *walk, bool sent)
{
	bool asks = sent == state->asks_by_sending;

	if (state->mode == STREAM_MODE_CHUNKS)
		report_chunks(context, state, walk, asks ? STREAM_SIDE_CLIENT : STREAM_SIDE_SERVER);
	else if (asks)
		on_request(context, state, walk);
	else
		on_response(state, walk);
}

#endif

/* Every TCP connection of the node, from state changes and the kernel's own counters per socket:
 * nothing runs per packet or per system call. */
#include "probe.bpf.h"
#include "connection.bpf.h"
#include "flow.bpf.h"

#define CONNECTIONS_MAX 65536 /* replaced by the setting max_connections */
#define PROTOCOL_TCP 6

enum account { ACCOUNT_STATE_CHANGES, ACCOUNT_SNAPSHOT, ACCOUNT_DESCRIPTORS, ACCOUNT_COUNT };

struct listener_key {
	netns_id netns;
	ip_port port;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, __u64); /* address of the struct sock: never leaves the kernel */
	__type(value, struct connection_state);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listener_key);
	__type(value, struct process_identity);
} listener_owners SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(finished, struct tcp_connection);

/* Moves when a socket without known owner appears: the collector then walks the open files. */
__u64 sweep_wanted = 0;

static __always_inline void start_state(struct connection_state *state, enum flow_role role, enum flow_source source)
{
	__builtin_memset(state, 0, sizeof(*state));
	state->flow = new_flow(source);
	state->role = role;
}

static __always_inline void own_by_current(struct connection_state *state, enum owner_evidence evidence)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (identify_process(task, &state->owner))
		state->owner_evidence = evidence;
}

static __always_inline void own_by_listener(const struct sock *sk, struct connection_state *state)
{
	struct listener_key key = { .netns = netns_of_sock(sk), .port = local_port_of_sock(sk) };
	struct process_identity *owner = bpf_map_lookup_elem(&listener_owners, &key);

	if (owner) {
		state->owner = *owner;
		state->owner_evidence = OWNER_EVIDENCE_LISTENER;
	}
}

static __always_inline void remember_listener(const struct sock *sk, const struct process_identity *owner)
{
	struct listener_key key = { .netns = netns_of_sock(sk), .port = local_port_of_sock(sk) };

	bpf_map_update_elem(&listener_owners, &key, owner, BPF_ANY);
}

static __always_inline bool on_opening(const struct sock *sk, int to)
{
	__u64 key = (__u64)sk;
	struct connection_state *known, state;

	if (to == TCP_STATE_ESTABLISHED) {
		known = bpf_map_lookup_elem(&connections, &key);
		if (known) {
			known->established_at = bpf_ktime_get_boot_ns();
			known->connect_duration = known->established_at - known->opened_at;
			return true;
		}
	}
	start_state(&state, to == TCP_STATE_ESTABLISHED ? FLOW_ROLE_SERVER : FLOW_ROLE_CLIENT, FLOW_SOURCE_EVENTS);
	state.opened_at = bpf_ktime_get_boot_ns();
	if (to == TCP_STATE_ESTABLISHED) {
		state.established_at = state.opened_at;
		__sync_fetch_and_add(&sweep_wanted, 1);
	} else {
		own_by_current(&state, OWNER_EVIDENCE_CONNECT);
	}
	return bpf_map_update_elem(&connections, &key, &state, BPF_ANY) == 0;
}

static __always_inline bool on_listening(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct connection_state state;

	start_state(&state, FLOW_ROLE_LISTENER, FLOW_SOURCE_EVENTS);
	state.opened_at = bpf_ktime_get_boot_ns();
	own_by_current(&state, OWNER_EVIDENCE_CONNECT);
	remember_listener(sk, &state.owner);
	return bpf_map_update_elem(&connections, &key, &state, BPF_ANY) == 0;
}

/* close() and shutdown() change the state in the owner's context; an accepted socket is known by that. */
static __always_inline void on_closing(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct connection_state *state = bpf_map_lookup_elem(&connections, &key);

	if (state && state->owner_evidence == OWNER_EVIDENCE_NONE)
		own_by_current(state, OWNER_EVIDENCE_CLOSE);
}

static __always_inline int on_end(void *context, const struct sock *sk, int from)
{
	__u64 key = (__u64)sk;
	struct connection_state *known = bpf_map_lookup_elem(&connections, &key), state;
	struct tcp_connection *record;

	if (known) {
		state = *known;
		bpf_map_delete_elem(&connections, &key);
	} else if (from == TCP_STATE_SYN_RECV || from == TCP_STATE_CLOSE) {
		COUNT(ACCOUNT_STATE_CHANGES, filtered); /* never established, or never connected */
		return 0;
	} else if (from == TCP_STATE_LISTEN) {
		start_state(&state, FLOW_ROLE_LISTENER, FLOW_SOURCE_EVENTS); /* tcp_set_state is not called when it begins */
		own_by_current(&state, OWNER_EVIDENCE_CLOSE);
	} else {
		start_state(&state, FLOW_ROLE_UNKNOWN, FLOW_SOURCE_EVENTS);
	}
	if (state.owner_evidence == OWNER_EVIDENCE_NONE && state.role == FLOW_ROLE_SERVER)
		own_by_listener(sk, &state);
	record = RESERVE(finished, ACCOUNT_STATE_CHANGES);
	if (!record)
		return 0;
	fill_record(sk, &state, record);
	record->state = from;
	record->error = BPF_CORE_READ(sk, sk_err);
	record->outcome = outcome_of_end(sk, from, record->error);
	record->event = from == TCP_STATE_SYN_SENT ? FLOW_EVENT_FAILED : FLOW_EVENT_CLOSED;
	if (from == TCP_STATE_SYN_SENT)
		record->connect_duration = record->duration;
	if (from == TCP_STATE_LISTEN) {
		record->event = FLOW_EVENT_LISTEN_ENDED;
		record->outcome = FLOW_OUTCOME_CLOSED;
	}
	SUBMIT(finished, record, ACCOUNT_STATE_CHANGES, context);
	return 0;
}

static __always_inline int change_state(void *context, const struct sock *sk, int from, int to)
{
	bool placed = true;

	COUNT(ACCOUNT_STATE_CHANGES, seen);
	if (BPF_CORE_READ(sk, sk_protocol) != PROTOCOL_TCP) {
		COUNT(ACCOUNT_STATE_CHANGES, filtered);
		return 0;
	}
	if (to == TCP_STATE_CLOSE)
		return on_end(context, sk, from);
	if (to == TCP_STATE_SYN_SENT || to == TCP_STATE_ESTABLISHED)
		placed = on_opening(sk, to);
	else if (to == TCP_STATE_LISTEN)
		placed = on_listening(sk);
	else if (to == TCP_STATE_FIN_WAIT1 || to == TCP_STATE_LAST_ACK)
		on_closing(sk);
	if (placed)
		COUNT(ACCOUNT_STATE_CHANGES, filtered); /* noted; reported by the snapshot and at the end */
	else
		COUNT(ACCOUNT_STATE_CHANGES, dropped_map_full);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(state_change, const struct sock *sk, int from, int to)
{
	return change_state(ctx, sk, from, to);
}

SEC("fentry/tcp_set_state")
int BPF_PROG(state_change_fentry, struct sock *sk, int to)
{
	return change_state(ctx, sk, BPF_CORE_READ(sk, __sk_common.skc_state), to);
}

SEC("kprobe/tcp_set_state")
int BPF_KPROBE(state_change_kprobe, struct sock *sk, int to)
{
	return change_state(ctx, sk, BPF_CORE_READ(sk, __sk_common.skc_state), to);
}

static __always_inline enum flow_event event_of_open(const struct connection_state *state, int tcp_state)
{
	if (state->role == FLOW_ROLE_LISTENER)
		return FLOW_EVENT_LISTENING;
	return tcp_state == TCP_STATE_SYN_SENT ? FLOW_EVENT_CONNECTING : FLOW_EVENT_OPEN;
}

/* Reads every known socket once an interval. The socket may go while it is read; then the map entry is gone too. */
SEC("iter/bpf_map_elem")
int read_open_connections(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *key = ctx->key, address;
	struct connection_state *value = ctx->value, state, *still;
	struct tcp_connection record = {};
	struct sock *sk;

	if (!key || !value)
		return 0;
	COUNT(ACCOUNT_SNAPSHOT, seen);
	address = *key;
	state = *value;
	sk = (struct sock *)address;
	fill_record(sk, &state, &record);
	record.state = BPF_CORE_READ(sk, __sk_common.skc_state);
	record.event = event_of_open(&state, record.state);
	still = bpf_map_lookup_elem(&connections, &address);
	if (!still || still->flow != state.flow) {
		COUNT(ACCOUNT_SNAPSHOT, filtered); /* ended meanwhile: its record is in the ring */
		return 0;
	}
	if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
		COUNT(ACCOUNT_SNAPSHOT, filtered); /* the page is full: the kernel calls again for the same element */
	else
		COUNT(ACCOUNT_SNAPSHOT, emitted);
	return 0;
}

/* A client's SYN counts as one acknowledged byte, a server's does not (tcp_rcv_synsent_state_process calls
 * tcp_ack, the SYN_RECV path sets snd_una itself): so the role of a connection older than the agent is known. */
static __always_inline enum flow_role role_of_old_connection(const struct tcp_sock *tcp)
{
	__u64 acknowledged = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans)
		- (BPF_CORE_READ(tcp, snd_nxt) - BPF_CORE_READ(tcp, snd_una));
	__u64 counted = BPF_CORE_READ(tcp, bytes_acked);

	if (counted == acknowledged + 1)
		return FLOW_ROLE_CLIENT;
	return counted == acknowledged ? FLOW_ROLE_SERVER : FLOW_ROLE_UNKNOWN;
}

/* Walks all open files: finds sockets older than the agent, in every network namespace, and the owners of accepted ones. */
SEC("iter/task_file")
int read_descriptors(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	struct connection_state *known, state;
	struct process_identity owner = {};
	struct socket *socket;
	struct sock *sk;
	__u64 key;
	int tcp_state;

	if (!file || !task)
		return 0;
	socket = socket_of_file(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != PROTOCOL_TCP || !identify_process(task, &owner))
		return 0;
	tcp_state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (tcp_state == TCP_STATE_CLOSE)
		return 0;
	COUNT(ACCOUNT_DESCRIPTORS, seen);
	key = (__u64)sk;
	known = bpf_map_lookup_elem(&connections, &key);
	if (known && known->owner_evidence != OWNER_EVIDENCE_NONE) {
		COUNT(ACCOUNT_DESCRIPTORS, filtered);
		return 0;
	}
	if (known) {
		known->owner = owner;
		known->owner_evidence = OWNER_EVIDENCE_DESCRIPTOR;
		COUNT(ACCOUNT_DESCRIPTORS, emitted);
		return 0;
	}
	start_state(&state, tcp_state == TCP_STATE_LISTEN ? FLOW_ROLE_LISTENER : role_of_old_connection((void *)sk),
		    FLOW_SOURCE_ITERATOR);
	state.owner = owner;
	state.owner_evidence = OWNER_EVIDENCE_DESCRIPTOR;
	if (tcp_state == TCP_STATE_LISTEN)
		remember_listener(sk, &owner);
	if (bpf_map_update_elem(&connections, &key, &state, BPF_NOEXIST))
		COUNT(ACCOUNT_DESCRIPTORS, dropped_map_full);
	else
		COUNT(ACCOUNT_DESCRIPTORS, emitted);
	return 0;
}

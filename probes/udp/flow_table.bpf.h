/* The flows: a socket and a peer, what went each way, whose it is. Both kinds of hooks of this probe count into it. */
#ifndef HONEYGUIDE_UDP_FLOW_TABLE_BPF_H
#define HONEYGUIDE_UDP_FLOW_TABLE_BPF_H

#include "flow.bpf.h"
#include "packet.bpf.h"

#define UDP_FLOWS_MAX 16384 /* replaced by the setting max_udp_flows */
#define PORT_WAS_CHOSEN 8      /* SOCK_BINDPORT_LOCK, include/net/sock.h: bind() named the port */
#define KNOWN_BY_INODE (1ULL << 63)
#define SOCKET_IS_CONNECTED 1  /* TCP_ESTABLISHED, which __ip4_datagram_connect sets for UDP too */

enum account { ACCOUNT_SENT, ACCOUNT_RECEIVED, ACCOUNT_BINDS, ACCOUNT_DESCRIPTORS, ACCOUNT_COUNT };

/* The values of tcp's enum of this name. */
enum flow_role { FLOW_ROLE_UNKNOWN, FLOW_ROLE_CLIENT, FLOW_ROLE_SERVER, FLOW_ROLE_LISTENER };

/* How the owning process was found. */
enum owner_evidence {
	OWNER_EVIDENCE_NONE,
	OWNER_EVIDENCE_SEND,       /* it sent */
	OWNER_EVIDENCE_RECEIVE,    /* it took a datagram from the socket */
	OWNER_EVIDENCE_BIND,       /* it called bind() */
	OWNER_EVIDENCE_DESCRIPTOR, /* it held the file descriptor when the agent started */
};

struct udp_flow_key {
	__u64 socket; /* the kernel's socket cookie, never an address */
	ip_address remote_address;
	ip_port remote_port;
	__u16 pad[3];
};

struct udp_flow_value {
	flow_id flow;
	boot_ns opened_at;          /* first datagram that was seen */
	boot_ns observed_at;        /* last datagram */
	byte_count bytes_sent;      /* payload */
	byte_count bytes_received;  /* payload that reached the socket, also when its buffer had no room for it */
	__u64 datagrams_sent;
	__u64 datagrams_received;
	cgroup_id cgroup;
	boot_ns process_started_at;
	ip_address local_address;
	command_name command;
	process_id process;
	netns_id netns;
	enum flow_role role;
	enum owner_evidence owner_evidence;
	ip_port local_port;
	__u16 pad[3];
};

struct socket_owner {
	struct process_identity process;
	enum owner_evidence evidence;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UDP_FLOWS_MAX);
	__type(key, struct udp_flow_key);
	__type(value, struct udp_flow_value);
} udp_flows SEC(".maps");

/* For sockets that receive before they send, or never send. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64); /* socket cookie, or key_without_cookie */
	__type(value, struct socket_owner);
} socket_owners SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);

/* One skb or one system call, which may hold several datagrams (segmentation offload). */
struct transfer {
	struct udp_flow_key key;
	struct endpoints ends;
	const void *origin; /* struct sock, or struct __sk_buff of a packet */
	__u64 bytes;
	__u64 datagrams;
};

/* Passed by value, so that the compiler leaves one case of each function in a program. */
enum way { PACKET_OUT, PACKET_IN, CALL_OUT, CALL_IN };

static __always_inline bool is_sent(enum way way)
{
	return way == PACKET_OUT || way == CALL_OUT;
}

/* UDP leaves in the context of who sends; a packet arrives in any. */
static __always_inline bool in_owner(enum way way)
{
	return way != PACKET_IN;
}

/* Only asked when a flow is new or nobody's: the packet's socket costs a read. */
static __always_inline const struct sock *sock_of_transfer(const struct transfer *transfer, enum way way)
{
	return way == PACKET_OUT || way == PACKET_IN ? sock_of_packet(transfer->origin) : transfer->origin;
}

static __always_inline enum flow_role role_of_first(const struct sock *sk, bool sent)
{
	if (sent)
		return FLOW_ROLE_CLIENT;
	/* joined between question and answer: who called connect() and let the kernel choose the port had sent before */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == SOCKET_IS_CONNECTED &&
	    !(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & PORT_WAS_CHOSEN))
		return FLOW_ROLE_CLIENT;
	return FLOW_ROLE_SERVER;
}

static __always_inline void own_flow(struct udp_flow_value *flow, const struct process_identity *owner,
				     enum owner_evidence evidence)
{
	flow->process_started_at = owner->process_started_at;
	__builtin_memcpy(flow->command, owner->command, sizeof(flow->command));
	flow->owner_evidence = evidence;
	flow->process = owner->process;
}

/* What read_descriptors knows a socket by where it cannot make a cookie: an inode number, told apart by a bit. */
static __always_inline __u64 key_without_cookie(const struct sock *sk)
{
	return number_of_socket(sk) | KNOWN_BY_INODE;
}

static __always_inline struct socket_owner *find_known_owner(const struct transfer *transfer, enum way way)
{
	struct socket_owner *known = bpf_map_lookup_elem(&socket_owners, &transfer->key.socket);
	__u64 key;

	if (known || tracing_has_cookies())
		return known;
	key = key_without_cookie(sock_of_transfer(transfer, way));
	return bpf_map_lookup_elem(&socket_owners, &key);
}

/* Sockets of the kernel have no file, so no owner. */
static __always_inline void find_owner(struct udp_flow_value *flow, const struct transfer *transfer, enum way way)
{
	struct socket_owner *known, found = {};
	const struct sock *sk;

	if (!in_owner(way)) {
		known = find_known_owner(transfer, way);
		if (known)
			own_flow(flow, &known->process, known->evidence);
		return;
	}
	sk = sock_of_transfer(transfer, way);
	if (!BPF_CORE_READ(sk, sk_socket, file))
		return;
	if (!identify_process((void *)bpf_get_current_task(), &found.process))
		return;
	found.evidence = is_sent(way) ? OWNER_EVIDENCE_SEND : OWNER_EVIDENCE_RECEIVE;
	own_flow(flow, &found.process, found.evidence);
	bpf_map_update_elem(&socket_owners, &transfer->key.socket, &found, BPF_ANY);
}

/* Two CPUs may serve one socket at once. */
static __always_inline void add_to_flow(struct udp_flow_value *flow, const struct transfer *transfer, enum way way)
{
	if (is_sent(way)) {
		__sync_fetch_and_add(&flow->bytes_sent, transfer->bytes);
		__sync_fetch_and_add(&flow->datagrams_sent, transfer->datagrams);
	} else {
		__sync_fetch_and_add(&flow->bytes_received, transfer->bytes);
		__sync_fetch_and_add(&flow->datagrams_received, transfer->datagrams);
	}
	flow->observed_at = bpf_ktime_get_boot_ns();
	if (way == CALL_IN)
		flow->local_address = transfer->ends.local_address; /* an unconnected socket has none before it is spoken to */
	if (way == CALL_IN || way == CALL_OUT)
		flow->local_port = transfer->ends.local_port; /* and its first call chooses the port */
	if (!flow->process)
		find_owner(flow, transfer, way);
}

static __always_inline bool open_flow(const struct transfer *transfer, enum way way)
{
	const struct sock *sk = sock_of_transfer(transfer, way);
	struct udp_flow_value flow = {};

	flow.flow = new_flow((enum flow_source)way); /* each way may interrupt another on the same CPU, so each counts alone */
	flow.opened_at = bpf_ktime_get_boot_ns();
	flow.cgroup = cgroup_id_of_sock(sk);
	flow.netns = netns_of_sock(sk);
	flow.local_address = transfer->ends.local_address;
	flow.local_port = transfer->ends.local_port;
	flow.role = role_of_first(sk, is_sent(way));
	add_to_flow(&flow, transfer, way);
	return !bpf_map_update_elem(&udp_flows, &transfer->key, &flow, BPF_NOEXIST);
}

static __always_inline void count_transfer(struct transfer *transfer, enum way way)
{
	__u32 account = is_sent(way) ? ACCOUNT_SENT : ACCOUNT_RECEIVED;
	struct udp_flow_value *flow;

	transfer->key.remote_address = transfer->ends.remote_address;
	transfer->key.remote_port = transfer->ends.remote_port;
	flow = bpf_map_lookup_elem(&udp_flows, &transfer->key);
	if (!flow) {
		if (open_flow(transfer, way)) {
			COUNT(account, emitted);
			return;
		}
		flow = bpf_map_lookup_elem(&udp_flows, &transfer->key); /* another CPU was faster, or the map is full */
	}
	if (flow) {
		add_to_flow(flow, transfer, way);
		COUNT(account, emitted);
	} else {
		COUNT(account, dropped_map_full);
	}
}

#endif

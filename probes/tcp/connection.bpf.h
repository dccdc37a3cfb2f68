/* A connection as it is reported, and how it is read from the socket. */
#ifndef HONEYGUIDE_TCP_CONNECTION_BPF_H
#define HONEYGUIDE_TCP_CONNECTION_BPF_H

#include "sock.bpf.h"

#define SOCK_DONE_BIT 1        /* enum sock_flags: FIN received, include/net/sock.h */

enum flow_event { FLOW_EVENT_CONNECTING, FLOW_EVENT_OPEN, FLOW_EVENT_CLOSED, FLOW_EVENT_FAILED, FLOW_EVENT_LISTENING, FLOW_EVENT_LISTEN_ENDED };

enum flow_role { FLOW_ROLE_UNKNOWN, FLOW_ROLE_CLIENT, FLOW_ROLE_SERVER, FLOW_ROLE_LISTENER };

enum flow_outcome {
	FLOW_OUTCOME_NONE,            /* still open */
	FLOW_OUTCOME_CLOSED,          /* both sides said goodbye, or this side did and went away */
	FLOW_OUTCOME_RESET_BY_PEER,
	FLOW_OUTCOME_ABORTED,         /* this side sent the reset: unread data, SO_LINGER 0, or killed */
	FLOW_OUTCOME_TIMED_OUT,
	FLOW_OUTCOME_REFUSED,
	FLOW_OUTCOME_UNREACHABLE,
	FLOW_OUTCOME_ABANDONED,       /* the application gave up while connecting, usually its own time-out */
	FLOW_OUTCOME_NO_LOCAL_PORT,
	FLOW_OUTCOME_FAILED,
};

/* How the owning process was found; the later ones are weaker. */
enum owner_evidence {
	OWNER_EVIDENCE_NONE,
	OWNER_EVIDENCE_CONNECT,       /* it called connect() or listen() */
	OWNER_EVIDENCE_DESCRIPTOR,    /* it holds the file descriptor */
	OWNER_EVIDENCE_CLOSE,         /* it closed the socket */
	OWNER_EVIDENCE_LISTENER,      /* it listens on the port that accepted */
};

enum error_value {
	ERROR_BROKEN_PIPE = 32,
	ERROR_NETWORK_UNREACHABLE = 101,
	ERROR_CONNECTION_RESET = 104,
	ERROR_TIMED_OUT = 110,
	ERROR_CONNECTION_REFUSED = 111,
	ERROR_HOST_UNREACHABLE = 113,
};

enum tcp_state {
	TCP_STATE_ESTABLISHED = 1, TCP_STATE_SYN_SENT, TCP_STATE_SYN_RECV, TCP_STATE_FIN_WAIT1, TCP_STATE_FIN_WAIT2,
	TCP_STATE_TIME_WAIT, TCP_STATE_CLOSE, TCP_STATE_CLOSE_WAIT, TCP_STATE_LAST_ACK, TCP_STATE_LISTEN,
	TCP_STATE_CLOSING, TCP_STATE_NEW_SYN_RECV,
};

struct tcp_connection {
	flow_id flow;
	boot_ns observed_at;
	boot_ns opened_at;               /* connect() called or handshake ended; 0: older than the agent */
	boot_ns established_at;          /* 0: not established, or older than the agent */
	duration_ns connect_duration;    /* client: SYN sent to established, or to failed */
	duration_ns duration;            /* opened_at to now */
	byte_count bytes_sent;           /* payload, retransmissions left out */
	byte_count bytes_received;
	cgroup_id cgroup;
	boot_ns process_started_at;
	ip_address local_address;
	ip_address remote_address;
	command_name command;
	netns_id netns;
	process_id process;
	__u32 segments_sent;
	__u32 segments_received;
	__u32 retransmits;
	duration_us smoothed_rtt;
	duration_us minimum_rtt;
	error_number error;
	enum flow_event event;
	enum flow_role role;
	enum flow_outcome outcome;
	enum tcp_state state;
	enum owner_evidence owner_evidence;
	ip_port local_port;
	ip_port remote_port;
};

/* What cannot be read from the socket later. */
struct connection_state {
	flow_id flow;
	boot_ns opened_at;
	boot_ns established_at;
	duration_ns connect_duration;
	struct process_identity owner;
	enum flow_role role;
	enum owner_evidence owner_evidence;
};

static __always_inline void read_counters(const struct sock *sk, struct tcp_connection *record)
{
	const struct tcp_sock *tcp = (const void *)sk;
	__u64 flags = BPF_CORE_READ(sk, __sk_common.skc_flags);

	record->bytes_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	record->bytes_received = BPF_CORE_READ(tcp, bytes_received);
	/* rcv_nxt, and with it this counter, goes one further for the FIN */
	if ((flags & (1UL << SOCK_DONE_BIT)) && record->bytes_received)
		record->bytes_received--;
	record->segments_sent = BPF_CORE_READ(tcp, segs_out);
	record->segments_received = BPF_CORE_READ(tcp, segs_in);
	record->retransmits = BPF_CORE_READ(tcp, total_retrans);
	record->smoothed_rtt = BPF_CORE_READ(tcp, srtt_us) >> 3; /* stored times eight, RFC 6298 */
	record->minimum_rtt = BPF_CORE_READ(tcp, rtt_min.s[0].v);
	if (record->minimum_rtt == ~0U)
		record->minimum_rtt = 0;
}

static __always_inline void fill_record(const struct sock *sk, const struct connection_state *state,
					struct tcp_connection *record)
{
	record->flow = state->flow;
	record->observed_at = bpf_ktime_get_boot_ns();
	record->opened_at = state->opened_at;
	record->established_at = state->established_at;
	record->connect_duration = state->connect_duration;
	record->duration = state->opened_at ? record->observed_at - state->opened_at : 0;
	record->cgroup = cgroup_id_of_sock(sk);
	record->process_started_at = state->owner.process_started_at;
	record->process = state->owner.process;
	__builtin_memcpy(record->command, state->owner.command, sizeof(record->command));
	record->netns = netns_of_sock(sk);
	record->local_port = local_port_of_sock(sk);
	record->remote_port = remote_port_of_sock(sk);
	read_sock_addresses(sk, &record->local_address, &record->remote_address);
	record->role = state->role;
	record->owner_evidence = state->owner_evidence;
	read_counters(sk, record);
}

static __always_inline enum flow_outcome outcome_of_error(int error, enum flow_outcome without_error)
{
	switch (error) {
	case 0: return without_error;
	case ERROR_CONNECTION_REFUSED: return FLOW_OUTCOME_REFUSED;
	case ERROR_CONNECTION_RESET:
	case ERROR_BROKEN_PIPE: return FLOW_OUTCOME_RESET_BY_PEER;
	case ERROR_TIMED_OUT: return FLOW_OUTCOME_TIMED_OUT;
	case ERROR_HOST_UNREACHABLE:
	case ERROR_NETWORK_UNREACHABLE: return FLOW_OUTCOME_UNREACHABLE;
	default: return FLOW_OUTCOME_FAILED;
	}
}

static __always_inline enum flow_outcome outcome_of_end(const struct sock *sk, int from, int error)
{
	if (from == TCP_STATE_SYN_SENT)
		return outcome_of_error(error, local_port_of_sock(sk) ? FLOW_OUTCOME_ABANDONED : FLOW_OUTCOME_NO_LOCAL_PORT);
	if (from == TCP_STATE_ESTABLISHED || from == TCP_STATE_CLOSE_WAIT)
		return outcome_of_error(error, FLOW_OUTCOME_ABORTED);
	return outcome_of_error(error, FLOW_OUTCOME_CLOSED);
}

#endif

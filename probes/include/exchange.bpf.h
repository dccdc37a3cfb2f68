/* The state machine of a connection that carries requests. It pairs by direction, not by protocol: bytes from the asking
 * side, then bytes from the answering side, are an exchange. Whoever sees bytes (system calls, a TLS library) feeds it. */
#ifndef HONEYGUIDE_EXCHANGE_BPF_H
#define HONEYGUIDE_EXCHANGE_BPF_H

#include "sock.bpf.h"

#define REQUEST_BYTES 192  /* captured of each request; what is longer comes in a request_rest record */
#define RESPONSE_BYTES 192
#define REST_BYTES 832     /* together 1 KiB: enough for the headers that browsers and proxies send */
#define CHUNK_BYTES 512

enum stream_role { STREAM_ROLE_UNKNOWN, STREAM_ROLE_CLIENT, STREAM_ROLE_SERVER };
enum stream_transport { STREAM_TRANSPORT_TCP, STREAM_TRANSPORT_UNIX };
enum stream_side { STREAM_SIDE_CLIENT, STREAM_SIDE_SERVER };

/* What user space or the first bytes decided about a connection. */
enum stream_mode {
	STREAM_MODE_UNDECIDED, /* exchanges, a few, until user space knows the protocol */
	STREAM_MODE_EXCHANGES,
	STREAM_MODE_CHUNKS,    /* multiplexed or pipelined: ordered chunks of both sides */
	STREAM_MODE_IGNORED,
};

/* Why an exchange was reported now. */
enum exchange_end {
	EXCHANGE_END_NEXT,   /* the next request began */
	EXCHANGE_END_IDLE,   /* nothing came for a while */
	EXCHANGE_END_CLOSED,
};

struct stream_owner {
	boot_ns process_started_at;
	cgroup_id cgroup;
	ip_address local_address;
	ip_address remote_address;
	command_name command;
	netns_id netns;
	process_id process;
	thread_id thread;         /* that last read the request or wrote it */
	enum stream_role role;
	enum stream_transport transport;
	ip_port local_port;
	ip_port remote_port;
};

struct stream_state {
	flow_id flow;
	boot_ns started_at;
	boot_ns request_started_at;
	boot_ns request_ended_at;
	boot_ns response_started_at;
	boot_ns response_ended_at;
	byte_count request_bytes;
	byte_count response_bytes;
	byte_count position[2];   /* bytes so far, by enum stream_side */
	struct stream_owner owner;
	__u32 sequence;
	__u32 modes_seen;
	__u16 request_captured;
	__u16 response_captured;
	__u8 mode;                /* enum stream_mode */
	__u8 answered;            /* bytes of the answering side have come */
	__u8 asks_by_sending;     /* this end is the client */
	__u8 pad;
	/* request at 0, response at REQUEST_BYTES; the rest is what the verifier allows for but never happens */
	__u8 heads[REQUEST_BYTES + 2 * RESPONSE_BYTES];
};

struct socket_exchange {
	flow_id flow;
	boot_ns request_started_at;
	boot_ns request_ended_at;
	boot_ns response_started_at; /* 0: no answer came */
	boot_ns response_ended_at;
	byte_count request_bytes;
	byte_count response_bytes;
	boot_ns process_started_at;
	cgroup_id cgroup;
	ip_address local_address;
	ip_address remote_address;
	command_name command;
	netns_id netns;
	process_id process;
	thread_id thread;
	__u32 sequence;
	enum stream_role role;
	enum stream_transport transport;
	enum exchange_end end;
	ip_port local_port;
	ip_port remote_port;
	__u16 request_captured;
	__u16 response_captured;
	__u32 pad;
	__u8 request[REQUEST_BYTES];
	__u8 response[RESPONSE_BYTES];
};

/* What did not fit into the exchange's request; comes before it. */
struct request_rest {
	flow_id flow;
	__u32 sequence;
	__u16 captured;
	__u16 pad;
	__u8 bytes[REST_BYTES];
};

struct socket_chunk {
	flow_id flow;
	boot_ns observed_at;
	byte_count position;      /* of the first byte, counted from where the agent began to look */
	byte_count length;        /* of this piece of the stream, captured or not */
	boot_ns process_started_at;
	cgroup_id cgroup;
	ip_address local_address;
	ip_address remote_address;
	command_name command;
	netns_id netns;
	process_id process;
	thread_id thread;
	enum stream_side side;
	enum stream_role role;
	enum stream_transport transport;
	ip_port local_port;
	ip_port remote_port;
	__u16 captured;
	__u16 closed;             /* 1: nothing follows on this connection */
	__u8 bytes[CHUNK_BYTES];
};

#endif

/* DNS messages over UDP and TCP, copied where a socket sends or receives them; user space parses and pairs them.
 *
 * Packets of sockets with other ports leave after a look at two ports and are in no book. */
#include "probe.bpf.h"
#include "packet.bpf.h"

#define PAYLOAD_BYTES 512    /* of RFC 1035, 2.3.4; a longer message is cut and says so */
#define TCP_RECORDS_MAX 8    /* of one packet, which may be 64 KiB of pipelined messages before segmentation */
#define TCP_SEQUENCE 4
#define TCP_DATA_OFFSET 12
#define LOOPBACK_NETWORK 127

/* What emit_piece is told about a packet, in one number: a function of its own takes no more than five. */
#define SHAPE_OFFSET 0xffff /* of the transport header */
#define SHAPE_IPV6 (1 << 16)
#define SHAPE_SENT (1 << 17)
#define SHAPE_TCP (1 << 18)
#define SHAPE_LAST (1 << 19) /* this record stands for all that is left of the packet */

const volatile __u16 dns_ports[4] = { 53 }; /* filled by the setting dns_ports; 0: none */

enum account { ACCOUNT_MESSAGES, ACCOUNT_DESTINATIONS, ACCOUNT_COUNT };

enum message_direction { MESSAGE_DIRECTION_SENT, MESSAGE_DIRECTION_RECEIVED };

enum message_transport { MESSAGE_TRANSPORT_UDP, MESSAGE_TRANSPORT_TCP };

/* A datagram, or up to PAYLOAD_BYTES of a TCP segment. */
struct dns_message {
	flow_id flow;              /* the kernel's socket cookie */
	boot_ns observed_at;
	cgroup_id cgroup;
	boot_ns process_started_at;
	ip_address local_address;
	ip_address remote_address;
	command_name command;
	process_id process;        /* who sends; 0 for what is received */
	netns_id netns;
	enum message_direction direction;
	enum message_transport transport;
	__u32 sequence;            /* TCP: sequence number of the first byte in payload */
	__u32 payload_length;      /* bytes that this record stands for */
	__u32 captured_length;     /* how many of them are in payload; the rest of payload is zero */
	ip_port local_port;
	ip_port remote_port;
	__u8 payload[PAYLOAD_BYTES];
};

struct destination_key {
	__u64 socket;
	__u64 thread; /* address of the task_struct: never leaves the kernel */
};

struct destination {
	ip_address address;
	ip_port port;
	__u16 pad;
};

/* Where an unconnected socket was told to send, before address translation; read back in the same system call. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct destination_key);
	__type(value, struct destination);
} destinations SEC(".maps");

/* Who last sent on a TCP socket in its own context. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* socket cookie */
	__type(value, struct process_identity);
} stream_owners SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(messages, struct dns_message);

/* Where the payload is. */
struct content {
	__u32 offset;
	__u32 length;
	__u32 sequence;
};

/* Whose it is. */
struct origin {
	__u64 flow;
	__u64 cgroup;
	struct process_identity sender;
	__u32 netns;
	enum message_direction direction;
	enum message_transport transport;
	__u32 pad;
};

static __always_inline bool is_dns_port(__u16 port)
{
	return port && (port == dns_ports[0] || port == dns_ports[1] || port == dns_ports[2] || port == dns_ports[3]);
}

static __always_inline void read_destination(struct __sk_buff *skb, struct endpoints *ends)
{
	struct destination_key key = { .socket = bpf_get_socket_cookie(skb), .thread = bpf_get_current_task() };
	struct destination *known = bpf_map_lookup_elem(&destinations, &key);

	if (known) {
		ends->remote_address = known->address;
		ends->remote_port = known->port;
	}
}

/* Docker translates its resolver's address 127.0.0.11:53 to another port of the loopback network. */
static __always_inline bool goes_to_loopback(const struct __sk_buff *skb, const struct packet *packet)
{
	const __u8 *data = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;

	return !packet->ipv6 && data + IPV4_HEADER_BYTES <= end && data[IPV4_DESTINATION] == LOOPBACK_NETWORK;
}

/* For sockets without a fixed peer: UDP only, a TCP socket is connected before it carries data. */
static __always_inline bool may_be_dns(struct __sk_buff *skb, const struct packet *packet, bool sent)
{
	__be16 ports[2];

	if (packet->protocol != PROTOCOL_UDP || bpf_skb_load_bytes(skb, packet->transport_offset, ports, sizeof(ports)))
		return false;
	return is_dns_port(__builtin_bswap16(ports[0])) || is_dns_port(__builtin_bswap16(ports[1])) ||
	       (sent && goes_to_loopback(skb, packet));
}

static __always_inline bool find_ends(struct __sk_buff *skb, const struct packet *packet, bool sent, struct endpoints *ends)
{
	const struct socket_view *sk = (const void *)skb->sk;

	if (!read_endpoints(skb, packet, sent, ends))
		return false;
	if (sent && sk && !sk->dst_port)
		read_destination(skb, ends);
	return is_dns_port(ends->remote_port) || is_dns_port(ends->local_port);
}

static __always_inline bool find_content(struct __sk_buff *skb, const struct packet *packet, struct content *content)
{
	__be32 sequence;
	__u8 data_offset;

	content->offset = packet->transport_offset + UDP_HEADER_BYTES;
	if (packet->protocol == PROTOCOL_TCP) {
		if (bpf_skb_load_bytes(skb, packet->transport_offset + TCP_SEQUENCE, &sequence, sizeof(sequence)) ||
		    bpf_skb_load_bytes(skb, packet->transport_offset + TCP_DATA_OFFSET, &data_offset, sizeof(data_offset)))
			return false;
		content->sequence = __builtin_bswap32(sequence);
		content->offset = packet->transport_offset + (data_offset >> 4) * 4;
	}
	if (skb->len < content->offset)
		return false;
	content->length = skb->len - content->offset;
	return true;
}

/* TCP also sends when an acknowledgement arrives, on behalf of whoever runs then; but while a task holds the socket
 * locked nobody else sends from it. UDP leaves in the context of who sends. Sockets of the kernel have no file. */
static __always_inline void find_sender(const struct sock *sk, bool tcp, struct origin *origin)
{
	struct process_identity *known;

	if (tcp && !BPF_CORE_READ(sk, sk_lock.owned)) {
		known = bpf_map_lookup_elem(&stream_owners, &origin->flow);
		if (known)
			origin->sender = *known;
		return;
	}
	if (!BPF_CORE_READ(sk, sk_socket, file) || !identify_process((void *)bpf_get_current_task(), &origin->sender))
		return;
	if (tcp)
		bpf_map_update_elem(&stream_owners, &origin->flow, &origin->sender, BPF_ANY);
}

static __always_inline void find_origin(struct __sk_buff *skb, bool sent, bool tcp, struct origin *origin)
{
	const struct sock *sk = sock_of_packet(skb);

	origin->flow = bpf_get_socket_cookie(skb);
	origin->cgroup = cgroup_id_of_sock(sk);
	origin->netns = netns_of_sock(sk);
	origin->direction = sent ? MESSAGE_DIRECTION_SENT : MESSAGE_DIRECTION_RECEIVED;
	origin->transport = tcp ? MESSAGE_TRANSPORT_TCP : MESSAGE_TRANSPORT_UDP;
	if (sent)
		find_sender(sk, tcp, origin);
}

static __always_inline void fill_record(const struct origin *origin, const struct endpoints *ends, struct dns_message *record)
{
	record->flow = origin->flow;
	record->observed_at = bpf_ktime_get_boot_ns();
	record->cgroup = origin->cgroup;
	record->process_started_at = origin->sender.process_started_at;
	record->local_address = ends->local_address;
	record->remote_address = ends->remote_address;
	__builtin_memcpy(record->command, origin->sender.command, sizeof(record->command));
	record->process = origin->sender.process;
	record->netns = origin->netns;
	record->direction = origin->direction;
	record->transport = origin->transport;
	record->local_port = ends->local_port;
	record->remote_port = ends->remote_port;
	__builtin_memset(record->payload, 0, sizeof(record->payload));
}

/* One record out of the payload from `offset` on. Returns how many bytes it took; all of them when it is the last record.
 *
 * A function of its own for the verifier too: it looks at it once, not once for each turn of the loop below. */
__noinline int emit_piece(struct __sk_buff *skb, __u32 shape, __u32 offset, __u32 length, __u32 sequence)
{
	struct packet packet = { .transport_offset = shape & SHAPE_OFFSET, .ipv6 = shape & SHAPE_IPV6 };
	bool sent = shape & SHAPE_SENT, tcp = shape & SHAPE_TCP;
	__u64 copied = length < PAYLOAD_BYTES ? length : PAYLOAD_BYTES, last_byte = copied - 1;
	struct dns_message *record;
	struct endpoints ends = {};
	struct origin origin = {};

	if (!find_ends(skb, &packet, sent, &ends))
		return length;
	COUNT(ACCOUNT_MESSAGES, seen);
	find_origin(skb, sent, tcp, &origin);
	record = RESERVE(messages, ACCOUNT_MESSAGES);
	if (!record)
		return length;
	fill_record(&origin, &ends, record);
	record->sequence = sequence;
	record->payload_length = shape & SHAPE_LAST ? length : copied;
	/* The verifier wants the bounds of the very register that the call gets; before 6.3 it does not see that a number
	 * that is not 0 is at least 1. An empty payload has its last byte far outside. */
	asm volatile("" : "+r"(last_byte));
	if (last_byte >= PAYLOAD_BYTES || bpf_skb_load_bytes(skb, offset, record->payload, last_byte + 1))
		copied = 0;
	record->captured_length = copied;
	SUBMIT(messages, record, ACCOUNT_MESSAGES, skb);
	return copied && !(shape & SHAPE_LAST) ? copied : length;
}

static __always_inline void emit_message(struct __sk_buff *skb, const struct packet *packet, bool sent)
{
	__u32 shape = packet->transport_offset | (packet->ipv6 ? SHAPE_IPV6 : 0) | (sent ? SHAPE_SENT : 0), taken;
	struct content content = {};
	int piece;

	if (!find_content(skb, packet, &content)) {
		COUNT(ACCOUNT_MESSAGES, seen);
		COUNT(ACCOUNT_MESSAGES, dropped_unreadable);
		return;
	}
	if (packet->protocol != PROTOCOL_TCP) {
		emit_piece(skb, shape | SHAPE_LAST, content.offset, content.length, 0);
		return;
	}
	shape |= SHAPE_TCP;
	for (piece = 1; piece <= TCP_RECORDS_MAX && content.length; piece++) {
		taken = emit_piece(skb, piece < TCP_RECORDS_MAX ? shape : shape | SHAPE_LAST, content.offset, content.length,
				   content.sequence);
		if (taken >= content.length)
			return;
		content.offset += taken;
		content.length -= taken;
		content.sequence += taken;
	}
}

/* The way out for nearly every packet of the node: the socket is connected, and not for DNS. */
static __always_inline int watch(struct __sk_buff *skb, bool sent)
{
	const struct socket_view *sk = (const void *)skb->sk;
	struct packet packet;

	if (!sk || (sk->dst_port && !is_dns_port(__builtin_bswap16(sk->dst_port)) && !is_dns_port(sk->src_port)))
		return PASS_PACKET;
	if (find_transport(skb, &packet) && (sk->dst_port || may_be_dns(skb, &packet, sent)))
		emit_message(skb, &packet, sent);
	return PASS_PACKET;
}

SEC("cgroup_skb/egress")
int watch_sent(struct __sk_buff *skb)
{
	return watch(skb, true);
}

SEC("cgroup_skb/ingress")
int watch_received(struct __sk_buff *skb)
{
	return watch(skb, false);
}

SEC("cgroup/sendmsg4")
int note_destination(struct bpf_sock_addr *ctx)
{
	struct destination destination = { .port = __builtin_bswap16(ctx->user_port) };
	struct destination_key key = {};

	if (!is_dns_port(destination.port))
		return PASS_PACKET;
	COUNT(ACCOUNT_DESTINATIONS, seen);
	ip_address_from_ipv4(&destination.address, ctx->user_ip4);
	key.socket = bpf_get_socket_cookie(ctx);
	key.thread = bpf_get_current_task();
	if (bpf_map_update_elem(&destinations, &key, &destination, BPF_ANY))
		COUNT(ACCOUNT_DESTINATIONS, dropped_map_full);
	else
		COUNT(ACCOUNT_DESTINATIONS, emitted);
	return PASS_PACKET;
}

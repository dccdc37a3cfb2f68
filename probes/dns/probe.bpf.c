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
	__u64 thread;
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
	struct endpoints ends;
	__u32 offset;
	__u32 length;
	__u32 sequence;
	__u32 pad;
};

static __always_inline bool is_dns_port(__u16 port)
{
	return port && (port == dns_ports[0] || port == dns_ports[1] || port == dns_ports[2] || port == dns_ports[3]);
}

static __always_inline void read_destination(struct __sk_buff *skb, struct endpoints *ends)
{
	struct destination_key key = { .socket = bpf_get_socket_cookie(skb), .thread = bpf_get_current_pid_tgid() };
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
static __always_inline bool find_unconnected(struct __sk_buff *skb, const struct packet *packet, bool sent, struct endpoints *ends)
{
	__be16 ports[2];
	bool on_port;

	if (packet->protocol != PROTOCOL_UDP || bpf_skb_load_bytes(skb, packet->transport_offset, ports, sizeof(ports)))
		return false;
	on_port = is_dns_port(__builtin_bswap16(ports[0])) || is_dns_port(__builtin_bswap16(ports[1]));
	if (!on_port && !(sent && goes_to_loopback(skb, packet)))
		return false;
	if (!read_endpoints(skb, packet, sent, ends))
		return false;
	if (sent)
		read_destination(skb, ends);
	return is_dns_port(ends->remote_port) || is_dns_port(ends->local_port);
}

/* The way out for nearly every packet of the node: the socket is connected, and not for DNS. */
static __always_inline bool has_other_peer(struct __sk_buff *skb)
{
	const struct socket_view *sk = (const void *)skb->sk;

	return !sk || (sk->dst_port && !is_dns_port(__builtin_bswap16(sk->dst_port)) && !is_dns_port(sk->src_port));
}

static __always_inline bool find_message(struct __sk_buff *skb, bool sent, struct packet *packet, struct endpoints *ends)
{
	const struct socket_view *sk = (const void *)skb->sk;

	if (!sk || !find_transport(skb, packet))
		return false;
	return sk->dst_port ? read_endpoints(skb, packet, sent, ends) : find_unconnected(skb, packet, sent, ends);
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

static __always_inline void set_process(const struct process_identity *owner, struct dns_message *record)
{
	record->process_started_at = owner->process_started_at;
	record->process = owner->process;
	__builtin_memcpy(record->command, owner->command, sizeof(record->command));
}

/* TCP also sends when an acknowledgement arrives, on behalf of whoever runs then; but while a task holds the socket
 * locked nobody else sends from it. UDP leaves in the context of who sends. Sockets of the kernel have no file. */
static __always_inline void fill_sender(const struct sock *sk, bool tcp, struct dns_message *record)
{
	struct process_identity current = {}, *known;
	__u64 socket = record->flow;

	if (tcp && !BPF_CORE_READ(sk, sk_lock.owned)) {
		known = bpf_map_lookup_elem(&stream_owners, &socket);
		if (known)
			set_process(known, record);
		return;
	}
	if (!BPF_CORE_READ(sk, sk_socket, file) || !identify_process((void *)bpf_get_current_task(), &current))
		return;
	set_process(&current, record);
	if (tcp)
		bpf_map_update_elem(&stream_owners, &socket, &current, BPF_ANY);
}

static __always_inline void fill_socket(struct __sk_buff *skb, bool sent, bool tcp, struct dns_message *record)
{
	const struct sock *sk = sock_of_packet(skb);

	record->flow = bpf_get_socket_cookie(skb);
	record->cgroup = cgroup_id_of_sock(sk);
	record->netns = netns_of_sock(sk);
	record->process_started_at = 0;
	record->process = 0;
	__builtin_memset(record->command, 0, sizeof(record->command));
	if (sent)
		fill_sender(sk, tcp, record);
}

/* One record out of the content from `content->offset` on; moves it forward by what was copied. False: out of room. */
static __always_inline bool emit_piece(struct __sk_buff *skb, struct content *content, bool sent, bool tcp, bool last)
{
	__u64 length = content->length < PAYLOAD_BYTES ? content->length : PAYLOAD_BYTES;
	struct dns_message *record;

	COUNT(ACCOUNT_MESSAGES, seen);
	record = RESERVE(messages, ACCOUNT_MESSAGES);
	if (!record)
		return false;
	fill_socket(skb, sent, tcp, record);
	record->observed_at = bpf_ktime_get_boot_ns();
	record->local_address = content->ends.local_address;
	record->remote_address = content->ends.remote_address;
	record->local_port = content->ends.local_port;
	record->remote_port = content->ends.remote_port;
	record->direction = sent ? MESSAGE_DIRECTION_SENT : MESSAGE_DIRECTION_RECEIVED;
	record->transport = tcp ? MESSAGE_TRANSPORT_TCP : MESSAGE_TRANSPORT_UDP;
	record->sequence = content->sequence;
	record->payload_length = last ? content->length : length;
	__builtin_memset(record->payload, 0, sizeof(record->payload));
	asm volatile("" : "+r"(length)); /* keep the compiler from moving the bounds away from the call */
	if (length < 1 || length > PAYLOAD_BYTES || bpf_skb_load_bytes(skb, content->offset, record->payload, length))
		length = 0;
	record->captured_length = length;
	SUBMIT(messages, record, ACCOUNT_MESSAGES, skb);
	content->offset += length;
	content->length -= length;
	content->sequence += length;
	return length > 0;
}

static __always_inline int watch(struct __sk_buff *skb, bool sent)
{
	struct packet packet;
	int piece;

	if (has_other_peer(skb))
		return PASS_PACKET;

	struct content content = {};

	if (!find_message(skb, sent, &packet, &content.ends))
		return PASS_PACKET;
	if (!find_content(skb, &packet, &content)) {
		COUNT(ACCOUNT_MESSAGES, seen);
		COUNT(ACCOUNT_MESSAGES, dropped_unreadable);
		return PASS_PACKET;
	}
	if (packet.protocol != PROTOCOL_TCP) {
		emit_piece(skb, &content, sent, false, true);
		return PASS_PACKET;
	}
	for (piece = 1; piece <= TCP_RECORDS_MAX && content.length; piece++)
		if (!emit_piece(skb, &content, sent, true, piece == TCP_RECORDS_MAX))
			break;
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
	key.thread = bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&destinations, &key, &destination, BPF_ANY))
		COUNT(ACCOUNT_DESTINATIONS, dropped_map_full);
	else
		COUNT(ACCOUNT_DESTINATIONS, emitted);
	return PASS_PACKET;
}

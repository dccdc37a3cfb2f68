/* UDP bytes and datagrams by socket and peer, counted in the kernel; user space reads the map once an interval.
 *
 * TCP and everything else that is no UDP leaves after a look at one header byte and is in no book. */
#include "probe.bpf.h"
#include <bpf/bpf_endian.h>
#include "flow_table.bpf.h"

#define ETHERTYPE_IPV6 0x86dd

/* A UDP socket that was open when the agent started. */
struct udp_socket {
	__u64 socket;
	boot_ns observed_at;
	cgroup_id cgroup;
	boot_ns process_started_at;
	ip_address local_address;
	command_name command;
	process_id process;
	netns_id netns;
	ip_port local_port;
	__u16 pad[3];
};
const struct udp_socket *udp_socket_layout __attribute__((unused)); /* puts the struct into BTF */

static __always_inline bool read_packet(struct __sk_buff *skb, const struct packet *packet, struct transfer *transfer,
					enum way way)
{
	__u32 headers = packet->transport_offset + UDP_HEADER_BYTES;

	if (skb->len < headers || !read_endpoints(skb, packet, is_sent(way), &transfer->ends))
		return false;
	transfer->origin = skb;
	transfer->key.socket = bpf_get_socket_cookie(skb);
	transfer->bytes = skb->len - headers;
	transfer->datagrams = skb->gso_segs ? skb->gso_segs : 1;
	return true;
}

static __always_inline int count_packet(struct __sk_buff *skb, enum way way)
{
	__u32 account = is_sent(way) ? ACCOUNT_SENT : ACCOUNT_RECEIVED;
	struct packet packet;

	if (!find_transport(skb, &packet) || packet.protocol != PROTOCOL_UDP)
		return PASS_PACKET;

	struct transfer transfer = {}; /* after the way out of all that is no UDP */

	COUNT(account, seen);
	if (read_packet(skb, &packet, &transfer, way))
		count_transfer(&transfer, way);
	else
		COUNT(account, dropped_unreadable);
	return PASS_PACKET;
}

SEC("cgroup_skb/egress")
int count_sent(struct __sk_buff *skb)
{
	return count_packet(skb, PACKET_OUT);
}

SEC("cgroup_skb/ingress")
int count_received(struct __sk_buff *skb)
{
	return count_packet(skb, PACKET_IN);
}

static __always_inline int note_bind(struct bpf_sock *sk)
{
	struct socket_owner owner = { .evidence = OWNER_EVIDENCE_BIND };
	__u64 cookie;

	if (sk->protocol != PROTOCOL_UDP)
		return PASS_PACKET;
	COUNT(ACCOUNT_BINDS, seen);
	cookie = bpf_get_socket_cookie(sk);
	if (!identify_process((void *)bpf_get_current_task(), &owner.process))
		COUNT(ACCOUNT_BINDS, filtered); /* a socket of the kernel */
	else if (bpf_map_update_elem(&socket_owners, &cookie, &owner, BPF_ANY))
		COUNT(ACCOUNT_BINDS, dropped_map_full);
	else
		COUNT(ACCOUNT_BINDS, emitted);
	return PASS_PACKET;
}

SEC("cgroup/post_bind4")
int note_bind4(struct bpf_sock *sk)
{
	return note_bind(sk);
}

SEC("cgroup/post_bind6")
int note_bind6(struct bpf_sock *sk)
{
	return note_bind(sk);
}

static __always_inline __u64 key_of_descriptor(struct file *file, const struct sock *sk)
{
	struct socket *socket;

	if (!tracing_has_cookies())
		return key_without_cookie(sk);
	socket = bpf_sock_from_file(file); /* the verifier's own pointer, as the next call wants it */
	return socket && socket->sk ? bpf_get_socket_cookie(socket->sk) : 0;
}

/* At the start of the agent: whose are the sockets that only ever receive? */
SEC("iter/task_file")
int read_descriptors(struct bpf_iter__task_file *ctx)
{
	struct socket_owner owner = { .evidence = OWNER_EVIDENCE_DESCRIPTOR };
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct udp_socket record = {};
	ip_address remote;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = socket_of_file(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != PROTOCOL_UDP || !identify_process(task, &owner.process))
		return 0;
	COUNT(ACCOUNT_DESCRIPTORS, seen);
	record.socket = key_of_descriptor(file, sk);
	record.observed_at = bpf_ktime_get_boot_ns();
	record.cgroup = cgroup_id_of_sock(sk);
	record.netns = netns_of_sock(sk);
	record.local_port = local_port_of_sock(sk);
	read_sock_addresses(sk, &record.local_address, &remote);
	record.process_started_at = owner.process.process_started_at;
	record.process = owner.process.process;
	__builtin_memcpy(record.command, owner.process.command, sizeof(record.command));
	bpf_map_update_elem(&socket_owners, &record.socket, &owner, BPF_NOEXIST);
	if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
		COUNT(ACCOUNT_DESCRIPTORS, filtered); /* the page is full: the kernel calls again for the same file */
	else
		COUNT(ACCOUNT_DESCRIPTORS, emitted);
	return 0;
}

/* Where cgroup programs cannot be attached: the system calls. No cookie can be made there, so a socket is known by its
 * inode number. */
static __always_inline void read_named_peer(const void *name, struct endpoints *ends)
{
	struct sockaddr_in6 ipv6 = {};
	struct sockaddr_in *ipv4 = (void *)&ipv6;

	bpf_probe_read_kernel(&ipv6, sizeof(ipv6), name);
	ends->remote_port = __builtin_bswap16(ipv6.sin6_port); /* at the same place in both */
	if (ipv6.sin6_family == ADDRESS_FAMILY_IPV6)
		__builtin_memcpy(&ends->remote_address, &ipv6.sin6_addr, sizeof(ends->remote_address));
	else
		ip_address_from_ipv4(&ends->remote_address, ipv4->sin_addr.s_addr);
}

/* Counts what is asked for: a call that fails afterwards is counted too, and one with UDP_SEGMENT as one datagram. */
static __always_inline int count_send_call(const struct socket *socket, const struct msghdr *message, int size)
{
	const struct sock *sk = BPF_CORE_READ(socket, sk);
	const void *name = BPF_CORE_READ(message, msg_name);
	struct transfer transfer = {};

	if (!sk || BPF_CORE_READ(sk, sk_protocol) != PROTOCOL_UDP || size < 0)
		return 0;
	COUNT(ACCOUNT_SENT, seen);
	transfer.key.socket = number_of_socket(sk);
	if (!transfer.key.socket) {
		COUNT(ACCOUNT_SENT, filtered); /* a socket of the kernel */
		return 0;
	}
	read_sock_addresses(sk, &transfer.ends.local_address, &transfer.ends.remote_address);
	transfer.ends.remote_port = remote_port_of_sock(sk);
	if (name)
		read_named_peer(name, &transfer.ends);
	transfer.origin = sk;
	transfer.ends.local_port = local_port_of_sock(sk);
	transfer.bytes = size;
	transfer.datagrams = 1;
	count_transfer(&transfer, CALL_OUT);
	return 0;
}

static __always_inline void read_received_headers(const struct sk_buff *skb, struct transfer *transfer)
{
	const void *head = BPF_CORE_READ(skb, head), *network = head + BPF_CORE_READ(skb, network_header);
	const struct skb_shared_info *shared = head + BPF_CORE_READ(skb, end);
	const struct udphdr *udp = head + BPF_CORE_READ(skb, transport_header);
	const struct ipv6hdr *ipv6 = network;
	const struct iphdr *ipv4 = network;
	__u16 segments = BPF_CORE_READ(shared, gso_segs);

	if (BPF_CORE_READ(skb, protocol) == bpf_htons(ETHERTYPE_IPV6)) {
		BPF_CORE_READ_INTO(&transfer->ends.remote_address, ipv6, saddr);
		BPF_CORE_READ_INTO(&transfer->ends.local_address, ipv6, daddr);
	} else {
		ip_address_from_ipv4(&transfer->ends.remote_address, BPF_CORE_READ(ipv4, saddr));
		ip_address_from_ipv4(&transfer->ends.local_address, BPF_CORE_READ(ipv4, daddr));
	}
	transfer->ends.remote_port = bpf_ntohs(BPF_CORE_READ(udp, source));
	transfer->ends.local_port = bpf_ntohs(BPF_CORE_READ(udp, dest));
	transfer->bytes = bpf_ntohs(BPF_CORE_READ(udp, len)) - UDP_HEADER_BYTES;
	transfer->datagrams = segments ? segments : 1;
}

/* Counts what was taken from the socket: not what its buffer had no room for. length < 0: only looked at. */
static __always_inline int count_receive_call(const struct sock *sk, const struct sk_buff *skb, int length)
{
	struct transfer transfer = {};

	COUNT(ACCOUNT_RECEIVED, seen);
	transfer.key.socket = number_of_socket(sk);
	if (length < 0 || !transfer.key.socket) {
		COUNT(ACCOUNT_RECEIVED, filtered);
		return 0;
	}
	transfer.origin = sk;
	read_received_headers(skb, &transfer);
	count_transfer(&transfer, CALL_IN);
	return 0;
}

SEC("fentry/security_socket_sendmsg")
int count_sent_fentry(__u64 *ctx)
{
	return count_send_call((const void *)ctx[0], (const void *)ctx[1], ctx[2]);
}

SEC("kprobe/security_socket_sendmsg")
int count_sent_kprobe(struct pt_regs *ctx)
{
	return count_send_call((const void *)PT_REGS_PARM1(ctx), (const void *)PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
}

SEC("fentry/skb_consume_udp")
int count_received_fentry(__u64 *ctx)
{
	return count_receive_call((const void *)ctx[0], (const void *)ctx[1], ctx[2]);
}

SEC("kprobe/skb_consume_udp")
int count_received_kprobe(struct pt_regs *ctx)
{
	return count_receive_call((const void *)PT_REGS_PARM1(ctx), (const void *)PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
}

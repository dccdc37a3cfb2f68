/* IP packets as a cgroup_skb program sees them: the data starts at the IP header, the socket is known. */
#ifndef HONEYGUIDE_PACKET_BPF_H
#define HONEYGUIDE_PACKET_BPF_H

#include "sock.bpf.h"

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define IPV4_HEADER_BYTES 20
#define IPV4_PROTOCOL 9
#define IPV4_SOURCE 12
#define IPV4_DESTINATION 16
#define IPV6_HEADER_BYTES 40
#define IPV6_NEXT_HEADER 6
#define IPV6_SOURCE 8
#define IPV6_DESTINATION 24
#define UDP_HEADER_BYTES 8
#define PASS_PACKET 1 /* what every program here returns: it only looks */

/* struct bpf_sock of the UAPI again, without CO-RE: clang turns relocated accesses into pointer arithmetic, which the
 * verifier forbids on sockets. Loads from it are loads from the kernel's socket, no helper is called. */
struct socket_view {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;
	__u32 src_ip6[4];
	__u32 src_port; /* host byte order */
	__be16 dst_port; /* 0: not connected */
	__u16 pad;
	__u32 dst_ip4;
	__u32 dst_ip6[4];
};

struct packet {
	__u32 transport_offset; /* of the UDP or TCP header, from the IP header */
	__u8 protocol;
	bool ipv6;
	__u16 pad;
};

/* The kernel's own view of the packet; its socket is a full one, BPF_CGROUP_RUN_PROG_INET_* sees to that. */
static __always_inline const struct sock *sock_of_packet(const struct __sk_buff *skb)
{
	return BPF_CORE_READ((const struct sk_buff *)skb, sk);
}

/* Extension headers (RFC 8200) are rare: then the kernel's parse is used, not one of our own. */
static __always_inline bool find_transport_after_extensions(const struct __sk_buff *skb, struct packet *packet)
{
	const struct sk_buff *kernel_skb = (const void *)skb;
	const struct sock *sk = sock_of_packet(skb);

	packet->protocol = BPF_CORE_READ(sk, sk_protocol);
	packet->transport_offset = (__u16)(BPF_CORE_READ(kernel_skb, transport_header) - BPF_CORE_READ(kernel_skb, network_header));
	return true;
}

/* First thing on every packet of the node, so: no helper call for TCP and UDP. False: not IP, or cut short. */
static __always_inline bool find_transport(const struct __sk_buff *skb, struct packet *packet)
{
	const __u8 *data = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;

	if (data + IPV4_HEADER_BYTES > end)
		return false;
	packet->ipv6 = data[0] >> 4 == 6;
	if (!packet->ipv6) {
		packet->protocol = data[IPV4_PROTOCOL];
		packet->transport_offset = (data[0] & 15) * 4;
		return true;
	}
	packet->protocol = data[IPV6_NEXT_HEADER];
	packet->transport_offset = IPV6_HEADER_BYTES;
	switch (packet->protocol) {
	case 0: /* hop by hop */
	case 43: /* routing */
	case 44: /* fragment */
	case 60: /* destination options */
		return find_transport_after_extensions(skb, packet);
	default:
		return true;
	}
}

struct endpoints {
	ip_address local_address;
	ip_address remote_address;
	ip_port local_port;
	ip_port remote_port;
	__u32 pad;
};

static __always_inline bool read_packet_addresses(const struct __sk_buff *skb, const struct packet *packet,
						  ip_address *source, ip_address *destination)
{
	__be32 pair[2];

	if (packet->ipv6)
		return !bpf_skb_load_bytes(skb, IPV6_SOURCE, source, sizeof(*source)) &&
		       !bpf_skb_load_bytes(skb, IPV6_DESTINATION, destination, sizeof(*destination));
	if (bpf_skb_load_bytes(skb, IPV4_SOURCE, pair, sizeof(pair)))
		return false;
	ip_address_from_ipv4(source, pair[0]);
	ip_address_from_ipv4(destination, pair[1]);
	return true;
}

static __always_inline void read_connected_addresses(const struct socket_view *sk, struct endpoints *ends)
{
	__u32 *local = (__u32 *)&ends->local_address, *remote = (__u32 *)&ends->remote_address;

	if (sk->family != ADDRESS_FAMILY_IPV6) {
		ip_address_from_ipv4(&ends->local_address, sk->src_ip4);
		ip_address_from_ipv4(&ends->remote_address, sk->dst_ip4);
		return;
	}
	local[0] = sk->src_ip6[0];
	local[1] = sk->src_ip6[1];
	local[2] = sk->src_ip6[2];
	local[3] = sk->src_ip6[3];
	remote[0] = sk->dst_ip6[0];
	remote[1] = sk->dst_ip6[1];
	remote[2] = sk->dst_ip6[2];
	remote[3] = sk->dst_ip6[3];
}

/* What the application calls the two ends. A packet that leaves has been through address translation already (the hook is
 * in ip_finish_output, behind POSTROUTING), one that arrives has been translated back: the socket knows, if connected. */
static __always_inline bool read_endpoints(struct __sk_buff *skb, const struct packet *packet, bool sent, struct endpoints *ends)
{
	const struct socket_view *sk = (const void *)skb->sk;
	__be16 ports[2];

	if (!sk)
		return false;
	ends->local_port = sk->src_port;
	if (sk->dst_port) {
		ends->remote_port = __builtin_bswap16(sk->dst_port);
		read_connected_addresses(sk, ends);
		return true;
	}
	if (bpf_skb_load_bytes(skb, packet->transport_offset, ports, sizeof(ports)))
		return false;
	ends->remote_port = __builtin_bswap16(ports[sent ? 1 : 0]);
	return read_packet_addresses(skb, packet, sent ? &ends->local_address : &ends->remote_address,
				     sent ? &ends->remote_address : &ends->local_address);
}

#endif

/* Addresses, ports and network namespace of a socket. */
#ifndef HONEYGUIDE_SOCK_BPF_H
#define HONEYGUIDE_SOCK_BPF_H

#define ADDRESS_FAMILY_IPV4 2
#define ADDRESS_FAMILY_IPV6 10

static __always_inline void ip_address_from_ipv4(ip_address *address, __be32 ipv4)
{
	__builtin_memset(address, 0, sizeof(*address));
	address->octets[10] = 0xff;
	address->octets[11] = 0xff;
	__builtin_memcpy(&address->octets[12], &ipv4, sizeof(ipv4));
}

static __always_inline __u32 netns_of_sock(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u16 local_port_of_sock(const struct sock *sk)
{
	/* skc_num is taken back before the state becomes TCP_CLOSE (tcp_set_state, inet_put_port); this stays */
	return __builtin_bswap16(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
}

static __always_inline __u16 remote_port_of_sock(const struct sock *sk)
{
	return __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
}

static __always_inline void read_sock_addresses(const struct sock *sk, ip_address *local, ip_address *remote)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == ADDRESS_FAMILY_IPV6) {
		BPF_CORE_READ_INTO(local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(remote, sk, __sk_common.skc_v6_daddr);
	} else {
		ip_address_from_ipv4(local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		ip_address_from_ipv4(remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
}

#endif

/* Addresses, ports and network namespace of a socket. */
#ifndef HONEYGUIDE_SOCK_BPF_H
#define HONEYGUIDE_SOCK_BPF_H

#define ADDRESS_FAMILY_IPV4 2
#define ADDRESS_FAMILY_IPV6 10
#define FILE_TYPE_MASK 0170000 /* S_IFMT */
#define FILE_IS_SOCKET 0140000 /* S_IFSOCK */

static __always_inline void ip_address_from_ipv4(ip_address *address, __be32 ipv4)
{
	__builtin_memset(address, 0, sizeof(*address));
	address->octets[10] = 0xff;
	address->octets[11] = 0xff;
	__builtin_memcpy(&address->octets[12], &ipv4, sizeof(ipv4));
}

/* NULL where the file is no socket, or was opened with O_PATH. bpf_sock_from_file came with 5.11. */
static __always_inline struct socket *socket_of_file(const struct file *file)
{
	struct socket *socket;

	if ((BPF_CORE_READ(file, f_inode, i_mode) & FILE_TYPE_MASK) != FILE_IS_SOCKET)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	return socket && BPF_CORE_READ(socket, file) == file ? socket : 0;
}

/* Its inode number, the one in /proc/net/udp; 0 for a socket of the kernel, which has no file. */
static __always_inline __u64 number_of_socket(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
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

/* Packets that the kernel throws away, counted by reason, protocol, workload and network namespace. */
#include "probe.bpf.h"
#include "sock.bpf.h"

#define DROP_KEYS_MAX 4096
#define STATE_TIME_WAIT 6     /* include/net/tcp_states.h: these two are no full sockets, */
#define STATE_NEW_SYN_RECV 12 /* they have no cgroup */

enum account { ACCOUNT_DROPS, ACCOUNT_COUNT };

/* EtherTypes, as in skb->protocol. */
enum network_type {
	NETWORK_TYPE_NONE = 0, /* not a network packet (a Unix socket's) or not known yet */
	NETWORK_TYPE_IPV4 = 0x0800,
	NETWORK_TYPE_ARP = 0x0806,
	NETWORK_TYPE_VLAN = 0x8100,
	NETWORK_TYPE_IPV6 = 0x86dd,
	NETWORK_TYPE_PPPOE = 0x8864,
	NETWORK_TYPE_LLDP = 0x88cc,
};

/* IP protocol numbers; for IPv6 the first next header. */
enum network_transport {
	NETWORK_TRANSPORT_NONE = 0,
	NETWORK_TRANSPORT_ICMP = 1,
	NETWORK_TRANSPORT_IGMP = 2,
	NETWORK_TRANSPORT_TCP = 6,
	NETWORK_TRANSPORT_UDP = 17,
	NETWORK_TRANSPORT_GRE = 47,
	NETWORK_TRANSPORT_ESP = 50,
	NETWORK_TRANSPORT_ICMPV6 = 58,
	NETWORK_TRANSPORT_SCTP = 132,
};

struct packet_drop_key {
	cgroup_id cgroup; /* of the socket that sent it or was to receive it; 0: none */
	netns_id netns;   /* 0: not known */
	enum skb_drop_reason reason;
	enum network_type network_type;
	enum network_transport transport;
};

struct packet_drop_value {
	boot_ns observed_at; /* the last one */
	byte_count bytes;    /* from the header that was to be looked at next */
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, DROP_KEYS_MAX);
	__type(key, struct packet_drop_key);
	__type(value, struct packet_drop_value);
} drops SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);

static __always_inline bool is_full_socket(const struct sock *sk)
{
	__u8 state = sk ? BPF_CORE_READ(sk, __sk_common.skc_state) : STATE_TIME_WAIT;

	return state != STATE_TIME_WAIT && state != STATE_NEW_SYN_RECV;
}

static __always_inline void read_socket(const struct sock *sk, struct packet_drop_key *key)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	key->netns = netns_of_sock(sk);
	if (!is_full_socket(sk))
		return;
	key->cgroup = cgroup_id_of_sock(sk);
	if (family != ADDRESS_FAMILY_IPV4 && family != ADDRESS_FAMILY_IPV6)
		return;
	/* for what is dropped before it has headers; they are more exact, and are read next */
	key->transport = BPF_CORE_READ(sk, sk_protocol);
	key->network_type = family == ADDRESS_FAMILY_IPV4 ? NETWORK_TYPE_IPV4 : NETWORK_TYPE_IPV6;
}

/* A header may not be there yet, or no more: then the version does not fit. */
static __always_inline void read_headers(const struct sk_buff *skb, struct packet_drop_key *key)
{
	const void *network = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	__u16 type = __builtin_bswap16(BPF_CORE_READ(skb, protocol));
	const struct ipv6hdr *ipv6 = network;
	const struct iphdr *ipv4 = network;
	__u8 first = 0;

	if (type)
		key->network_type = type;
	bpf_probe_read_kernel(&first, sizeof(first), network);
	if (type == NETWORK_TYPE_IPV4 && first >> 4 == 4)
		key->transport = BPF_CORE_READ(ipv4, protocol);
	if (type == NETWORK_TYPE_IPV6 && first >> 4 == 6)
		key->transport = BPF_CORE_READ(ipv6, nexthdr);
}

/* In a receive queue skb->dev is another thing (dev_scratch): then it is no address, and the read gives 0. */
static __always_inline __u32 netns_of_device(const struct sk_buff *skb)
{
	return BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
}

static __always_inline bool add_drop(const struct packet_drop_key *key, __u32 bytes)
{
	struct packet_drop_value *value = bpf_map_lookup_elem(&drops, key), first = {};

	if (!value) {
		bpf_map_update_elem(&drops, key, &first, BPF_NOEXIST); /* fails when another CPU was faster, too */
		value = bpf_map_lookup_elem(&drops, key);
		if (!value)
			return false;
	}
	value->observed_at = bpf_ktime_get_boot_ns();
	value->bytes += bytes; /* this CPU's own, and a program does not interrupt itself */
	value->packets += 1;
	return true;
}

static __always_inline int count_drop(const struct sk_buff *skb, const struct sock *receiver, __u32 reason)
{
	struct packet_drop_key key = { .reason = reason };
	const struct sock *sk = receiver ? receiver : BPF_CORE_READ(skb, sk);

	if (sk)
		read_socket(sk, &key);
	read_headers(skb, &key);
	if (!key.netns)
		key.netns = netns_of_device(skb);
	if (add_drop(&key, BPF_CORE_READ(skb, len)))
		COUNT(ACCOUNT_DROPS, emitted);
	else
		COUNT(ACCOUNT_DROPS, dropped_map_full);
	return 0;
}

/* The numbers differ between versions: 5.17 began with a reason at 0, and SKB_CONSUMED came with 6.4. */
static __always_inline bool is_no_drop(__u32 reason)
{
	if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_NOT_DROPPED_YET) &&
	    reason == bpf_core_enum_value(enum skb_drop_reason, SKB_NOT_DROPPED_YET))
		return true;
	return bpf_core_enum_value_exists(enum skb_drop_reason, SKB_CONSUMED) &&
	       reason == bpf_core_enum_value(enum skb_drop_reason, SKB_CONSUMED);
}

static __always_inline int count_with_reason(const struct sk_buff *skb, const struct sock *receiver, __u32 reason)
{
	COUNT(ACCOUNT_DROPS, seen);
	if (is_no_drop(reason)) {
		COUNT(ACCOUNT_DROPS, filtered);
		return 0;
	}
	return count_drop(skb, receiver, reason);
}

static __always_inline __u32 unspecified_reason(void)
{
	if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED))
		return bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NOT_SPECIFIED);
	return SKB_DROP_REASON_NOT_SPECIFIED; /* a kernel without reasons: the name is our own */
}

/* c53795d48ee8 (6.11) tells the receiving socket. */
SEC("tp_btf/kfree_skb")
int count_drops_of_receiver(__u64 *ctx)
{
	return count_with_reason((const void *)ctx[0], (const void *)ctx[3], ctx[2]);
}

/* c504e5c2f964 (5.17) tells the reason. */
SEC("tp_btf/kfree_skb")
int count_drops(__u64 *ctx)
{
	return count_with_reason((const void *)ctx[0], 0, ctx[2]);
}

SEC("tp_btf/kfree_skb")
int count_drops_without_reason(__u64 *ctx)
{
	COUNT(ACCOUNT_DROPS, seen);
	return count_drop((const void *)ctx[0], 0, unspecified_reason());
}

/* For kernels that refuse BTF tracepoints. */
SEC("tracepoint/skb/kfree_skb")
int count_drops_tracepoint(struct trace_event_raw_kfree_skb *ctx)
{
	const struct sock *receiver = 0;

	if (bpf_core_field_exists(ctx->rx_sk))
		receiver = BPF_CORE_READ(ctx, rx_sk);
	if (bpf_core_field_exists(ctx->reason))
		return count_with_reason(BPF_CORE_READ(ctx, skbaddr), receiver, BPF_CORE_READ(ctx, reason));
	COUNT(ACCOUNT_DROPS, seen);
	return count_drop(BPF_CORE_READ(ctx, skbaddr), receiver, unspecified_reason());
}

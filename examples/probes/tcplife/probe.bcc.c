/* Every TCP connection at its end: who, with whom, how long, how many bytes. */
enum account { ACCOUNT_CONNECTIONS, ACCOUNT_COUNT };

struct tcp_life {
	boot_ns observed_at;
	duration_ns duration;
	byte_count sent;
	byte_count received;
	cgroup_id cgroup;
	u32 local_address;  /* IPv4, network byte order */
	u32 remote_address;
	ip_port local_port;
	ip_port remote_port;
	u32 pad;
};

BPF_HASH(births, struct sock *, u64, 16384);
BPF_PERF_OUTPUT(lives);

int raw_tracepoint__inet_sock_set_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	int state = ctx->args[2];
	u64 now = bpf_ktime_get_boot_ns(), *birth;
	struct tcp_life row = {};

	if (sk->__sk_common.skc_family != AF_INET || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (state < TCP_FIN_WAIT1)
		births.update(&sk, &now); /* as tcplife does: from its last state before the end began */
	birth = births.lookup(&sk);
	if (state != TCP_CLOSE || !birth)
		return 0;
	COUNT(ACCOUNT_CONNECTIONS, seen);
	row.observed_at = now;
	row.duration = now - *birth;
	row.sent = ((struct tcp_sock *)sk)->bytes_acked;
	row.received = ((struct tcp_sock *)sk)->bytes_received;
	row.cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	row.local_address = sk->__sk_common.skc_rcv_saddr;
	row.remote_address = sk->__sk_common.skc_daddr;
	row.local_port = bpf_ntohs(((struct inet_sock *)sk)->inet_sport); /* skc_num is given back by now */
	row.remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	births.delete(&sk);
	count_submit(ACCOUNT_CONNECTIONS, lives.perf_submit(ctx, &row, sizeof(row)));
	return 0;
}

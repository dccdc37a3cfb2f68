/* Every difference between kernel versions lives here, with the commit that made it. */
#ifndef HONEYGUIDE_KERNEL_COMPAT_BPF_H
#define HONEYGUIDE_KERNEL_COMPAT_BPF_H

/* 8520e224f547 (5.15) replaced the tagged word by a plain pointer. */
struct sock_cgroup_data___before_5_15 {
	__u64 val;
} __attribute__((preserve_access_index));

/* 2f064a59a11f (5.14) renamed `state`. */
struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

/* 0 while the task runs or wants to. */
static __always_inline unsigned int task_state(const struct task_struct *task)
{
	const struct task_struct___before_5_14 *old = (const void *)task;

	return bpf_core_field_exists(task->__state) ? BPF_CORE_READ(task, __state) : (unsigned int)BPF_CORE_READ(old, state);
}

/* c5dbb89fc2ac (5.12) lets programs that trace ask for a socket's cookie; 34b2021cc616, of the same release, can be seen. */
static __always_inline bool tracing_has_cookies(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_check_mtu);
}

static __always_inline __u64 cgroup_id_of_sock(const struct sock *sk)
{
	struct cgroup *cgroup;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
		cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	} else {
		const struct sock_cgroup_data___before_5_15 *data = (const void *)&sk->sk_cgrp_data;
		__u64 word = BPF_CORE_READ(data, val);

		/* the lowest bit set: not a pointer but net_cls data of the root group */
		cgroup = (word & 1) ? 0 : (struct cgroup *)(word & ~3ULL);
	}
	return cgroup ? BPF_CORE_READ(cgroup, kn, id) : 0;
}

#endif

/* All types of the running kernel, for bcc: stands for every kernel header that a program may include.
 * Macros are not in BTF; those that tools written for bcc use most are here. */
#ifndef HONEYGUIDE_KERNEL_TYPES_H
#define HONEYGUIDE_KERNEL_TYPES_H

#define BPF_NO_PRESERVE_ACCESS_INDEX 1 /* bcc's compiler does not relocate: it compiles for this very kernel */
#include <vmlinux.h>
#include "function_numbers.h"

#define __always_inline inline __attribute__((always_inline))
#define __user
#define __kernel
#define __iomem
#define __rcu
#define __percpu
#define __maybe_unused __attribute__((unused))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif
#ifndef container_of
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#endif

#define TASK_COMM_LEN 16
#define NAME_MAX 255
#define PATH_MAX 4096
#define IFNAMSIZ 16
#define DNAME_INLINE_LEN 32
#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_USEC 1000L
#define PF_KTHREAD 0x00200000
#define TASK_RUNNING 0
#define SIGNAL_GROUP_EXIT 4
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_ALEN 6

/* socket addresses (include/net/sock.h) */
#define sk_family __sk_common.skc_family
#define sk_state __sk_common.skc_state
#define sk_num __sk_common.skc_num
#define sk_dport __sk_common.skc_dport
#define sk_daddr __sk_common.skc_daddr
#define sk_rcv_saddr __sk_common.skc_rcv_saddr
#define sk_v6_daddr __sk_common.skc_v6_daddr
#define sk_v6_rcv_saddr __sk_common.skc_v6_rcv_saddr

#endif

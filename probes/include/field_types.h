/* What a number means: user space reads these typedef names from BTF and chooses enrichers by them.
 * A record field typed with a plain integer is a plain number. */
#ifndef HONEYGUIDE_FIELD_TYPES_H
#define HONEYGUIDE_FIELD_TYPES_H

typedef __u64 boot_ns;         /* CLOCK_BOOTTIME, goes on during suspend; 0: not known */
typedef __u64 duration_ns;     /* a length of time; 0: not known */
typedef __u64 flow_id;         /* one connection or conversation, unique while the agent runs */
typedef __u64 cgroup_id;       /* kernfs id of the cgroup v2 directory = its inode number; 0: not known */
typedef __u64 byte_count;
typedef __u32 netns_id;        /* inode number of the network namespace */
typedef __u32 process_id;      /* thread group id in the root pid namespace; 0: not known */
typedef __u32 thread_id;
typedef __u32 user_id;
typedef __u32 duration_us;
typedef __s32 error_number;    /* positive errno, 0: none */
typedef __u16 ip_port;         /* host byte order; 0: not known */
typedef char command_name[16]; /* task comm of the thread group leader */

/* IPv6 in network byte order; IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). All zero: not known. */
typedef struct {
	__u8 octets[16];
} ip_address;

#endif

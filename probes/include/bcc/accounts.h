/* Goes before every program in bcc's dialect: what fields mean, and the books.
 *     enum account { ACCOUNT_EXITS, ACCOUNT_COUNT };        at most 16
 *     COUNT(ACCOUNT_EXITS, seen);                           each run once, then exactly one of
 *     COUNT(ACCOUNT_EXITS, filtered);                       ... filtered, sampled, dropped_map_full, dropped_unreadable
 *     count_submit(ACCOUNT_EXITS, events.perf_submit(ctx, &row, sizeof(row)));   ... or emitted, dropped_ring_full
 * Functions, because bcc does not rewrite what it finds inside macros. */
typedef __u64 boot_ns;
typedef __u64 duration_ns;
typedef __u64 flow_id;
typedef __u64 cgroup_id;
typedef __u64 byte_count;
typedef __u32 netns_id;
typedef __u32 process_id;
typedef __u32 thread_id;
typedef __u32 user_id;
typedef __u32 duration_us;
typedef __s32 error_number;
typedef __u16 ip_port;
typedef char command_name[16];
typedef struct {
	__u8 octets[16];
} ip_address;

struct program_account {
	__u64 seen;
	__u64 emitted;
	__u64 filtered;
	__u64 sampled;
	__u64 dropped_ring_full;
	__u64 dropped_map_full;
	__u64 dropped_unreadable;
};

BPF_PERCPU_ARRAY(accounts, struct program_account, 16);

#define COUNTER(column)                                                \
	static inline __attribute__((always_inline)) void count_##column(__u32 account) \
	{                                                                  \
		int index = account;                                           \
		struct program_account *book = find_account(index);            \
		if (book)                                                      \
			__sync_fetch_and_add(&book->column, 1);                    \
	}

static inline __attribute__((always_inline)) struct program_account *find_account(int index)
{
	return accounts.lookup(&index);
}
COUNTER(seen)
COUNTER(emitted)
COUNTER(filtered)
COUNTER(sampled)
COUNTER(dropped_ring_full)
COUNTER(dropped_map_full)
COUNTER(dropped_unreadable)
#define COUNT(account, column) count_##column(account)

static inline __attribute__((always_inline)) void count_submit(__u32 account, long failure)
{
	if (failure)
		count_dropped_ring_full(account);
	else
		count_emitted(account);
}

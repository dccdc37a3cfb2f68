/* How a record leaves the kernel, and the books about it.
 *
 * A probe declares
 *     enum account { ACCOUNT_CONNECTIONS, ACCOUNT_COUNT };   the books it keeps, one per hook
 *     ACCOUNTS(ACCOUNT_COUNT);
 *     RECORD_RING(closed, struct tcp_connection);            a ring that carries one record type
 * and in a program
 *     struct tcp_connection *record = RESERVE(closed, ACCOUNT_CONNECTIONS);
 *     if (!record) return 0;                                 already counted as dropped
 *     ... fill every byte ...
 *     SUBMIT(closed, record, ACCOUNT_CONNECTIONS);
 * Every run of a program counts itself seen, then exactly one of emitted, filtered, sampled, dropped_*. */
#ifndef HONEYGUIDE_EMIT_BPF_H
#define HONEYGUIDE_EMIT_BPF_H

struct program_account {
	__u64 seen;
	__u64 emitted;
	__u64 filtered;
	__u64 sampled;
	__u64 dropped_ring_full;
	__u64 dropped_map_full;
	__u64 dropped_unreadable;
};

/* Set by the loader before the program is loaded; the verifier removes the branch not taken. */
const volatile bool use_perf_buffer = false;

/* Whose own traffic is left out: the agent must not observe itself. */
const volatile __u32 agent_process_id = 0;

#define ACCOUNTS(count)                                   \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);          \
		__uint(max_entries, count);                       \
		__type(key, __u32);                               \
		__type(value, struct program_account);            \
	} accounts SEC(".maps");                              \
	const enum account *account_names __attribute__((unused))

/* The scratch map names the record type in BTF (libbpf 1.1 refuses a value type on a ring buffer)
 * and holds the record while it is filled when the transport is a perf buffer.
 * wake_at: bytes that may wait before the reader is woken; set by a loader that waits for that. */
#define RECORD_RING(name, record_type)                    \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_RINGBUF);               \
		__uint(max_entries, 1 << 20);                     \
	} name SEC(".maps");                                  \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);          \
		__uint(max_entries, 1);                           \
		__type(key, __u32);                               \
		__type(value, record_type);                       \
	} name##_record SEC(".maps");                         \
	const volatile __u64 name##_wake_at = -1;             \
	__u64 name##_woken_at = 0

/* Atomic: the same book can be open in a task and, on the same CPU, in the softirq that interrupts it. */
#define COUNT(account_index, column)                                              \
	({                                                                            \
		__u32 book_index = (account_index);                                       \
		struct program_account *book = bpf_map_lookup_elem(&accounts, &book_index); \
		if (book)                                                                 \
			__sync_fetch_and_add(&book->column, 1);                               \
	})

#define RESERVE(ring, account_index)                                              \
	({                                                                            \
		__u32 zero_index = 0;                                                     \
		typeof(*ring##_record.value) *reserved;                                   \
		if (use_perf_buffer)                                                      \
			reserved = bpf_map_lookup_elem(&ring##_record, &zero_index);          \
		else                                                                      \
			reserved = bpf_ringbuf_reserve(&ring, sizeof(*reserved), 0);          \
		if (!reserved)                                                            \
			COUNT(account_index, dropped_ring_full);                              \
		reserved;                                                                 \
	})

/* User space drains on a timer; a wake-up costs the traced thread about 1 us. One when the ring fills, and none again before
 * the reader has moved, be it slow or stopped. Woken at: the reader's position and 1, for 0 is a position. */
#define WAKE_UP_IF_FILLING(ring)                                                  \
	({                                                                            \
		__u64 wake_up = BPF_RB_NO_WAKEUP;                                         \
		if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ring##_wake_at) {      \
			__u64 reader = bpf_ringbuf_query(&ring, BPF_RB_CONS_POS) + 1;         \
			if (ring##_woken_at != reader) {                                      \
				ring##_woken_at = reader;                                         \
				wake_up = BPF_RB_FORCE_WAKEUP;                                    \
			}                                                                     \
		}                                                                         \
		wake_up;                                                                  \
	})

#define SUBMIT(ring, record, account_index, context)                              \
	({                                                                            \
		if (use_perf_buffer) {                                                    \
			if (bpf_perf_event_output(context, &ring, BPF_F_CURRENT_CPU, record, sizeof(*record))) \
				COUNT(account_index, dropped_ring_full);                          \
			else                                                                  \
				COUNT(account_index, emitted);                                    \
		} else {                                                                  \
			bpf_ringbuf_submit(record, WAKE_UP_IF_FILLING(ring));                 \
			COUNT(account_index, emitted);                                        \
		}                                                                         \
	})

#endif

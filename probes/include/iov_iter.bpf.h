/* The kernel's own description of the buffers that a call moves, in the forms that it has had since 5.10. */
#ifndef HONEYGUIDE_IOV_ITER_BPF_H
#define HONEYGUIDE_IOV_ITER_BPF_H

#include "user_buffer.bpf.h"

#define VECTOR_STEPS 16 /* pieces of one call that are walked back at most */
#define PIECES_MAX 1024 /* UIO_MAXIOV */

/* 747b1f65d39a (6.4) renamed the vector. */
struct iov_iter___before_6_4 {
	const struct iovec *iov;
} __attribute__((preserve_access_index));

/* 8cd54c1c8480 (5.14): before, one word of a flag for each kind and the direction in the lowest bit. */
struct iov_iter___before_5_14 {
	unsigned int type;
} __attribute__((preserve_access_index));

#define ITER_IOVEC_BEFORE_5_14 4

static __always_inline bool is_vector(const struct iov_iter *iter)
{
	if (!bpf_core_field_exists(iter->iter_type))
		return (BPF_CORE_READ((const struct iov_iter___before_5_14 *)iter, type) & ~1U) == ITER_IOVEC_BEFORE_5_14;
	return BPF_CORE_READ(iter, iter_type) == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
}

/* fcb14cb1bdac (6.0): one buffer needs no vector. */
static __always_inline bool is_buffer(const struct iov_iter *iter)
{
	return bpf_core_enum_value_exists(enum iter_type, ITER_UBUF)
		&& BPF_CORE_READ(iter, iter_type) == bpf_core_enum_value(enum iter_type, ITER_UBUF);
}

static __always_inline const struct iovec *vector_of(const struct iov_iter *iter)
{
	if (bpf_core_field_exists(iter->__iov))
		return BPF_CORE_READ(iter, __iov);
	return BPF_CORE_READ((const struct iov_iter___before_6_4 *)iter, iov);
}

/* Before the call has moved anything: all that it may move. Blind when the bytes are none of a program's. */
static __always_inline void start_iter(struct buffer_walk *walk, const struct iov_iter *iter)
{
	__u64 offset = BPF_CORE_READ(iter, iov_offset);

	start_blind(walk, BPF_CORE_READ(iter, count));
	if (is_buffer(iter)) {
		start_buffer(walk, BPF_CORE_READ(iter, ubuf) + offset, walk->length);
	} else if (is_vector(iter)) {
		start_vector(walk, vector_of(iter), BPF_CORE_READ(iter, nr_segs), true);
		if (!offset)
			return;
		walk->readable = next_piece(walk) && walk->now.piece >= offset; /* on in the middle of a piece */
		walk->now.start += offset;
		walk->now.piece -= offset;
		walk->begin = walk->now;
	}
}

/* After the call has moved `length` bytes, which left the iterator behind them: walks back, as iov_iter_revert does. */
static __always_inline void start_moved_iter(struct buffer_walk *walk, const struct iov_iter *iter, __u64 length)
{
	__u64 behind = BPF_CORE_READ(iter, iov_offset); /* from the start of the piece to where the iterator is */
	const struct iovec *vector;
	struct iovec entry;

	start_blind(walk, length);
	if (is_buffer(iter)) {
		start_buffer(walk, BPF_CORE_READ(iter, ubuf) + behind - length, length);
		return;
	}
	if (!is_vector(iter))
		return;
	vector = vector_of(iter);
	for (int step = 0; step < VECTOR_STEPS && behind < length; step++) {
		if (bpf_probe_read_kernel(&entry, sizeof(entry), --vector))
			return;
		behind += entry.iov_len;
	}
	if (behind < length || bpf_probe_read_kernel(&entry, sizeof(entry), vector))
		return;
	walk->now.start = entry.iov_base + (behind - length);
	walk->now.piece = entry.iov_len - (behind - length);
	if (walk->now.piece > length)
		walk->now.piece = length;
	start_vector(walk, vector + 1, PIECES_MAX, true);
}

#endif

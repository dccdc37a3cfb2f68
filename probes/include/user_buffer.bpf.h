/* The bytes that a call moves: one buffer of the program, or a vector of them. Kept in map memory and never on the stack,
 * where the verifier would follow every value that a walk can have. */
#ifndef HONEYGUIDE_USER_BUFFER_BPF_H
#define HONEYGUIDE_USER_BUFFER_BPF_H

struct buffer_position {
	const struct iovec *vector;     /* the next piece */
	const struct mmsghdr *messages; /* the next message of a call that moves several */
	const __u8 *start;
	__u64 piece;                    /* bytes left in the current piece */
	__u32 pieces;                   /* pieces left in the vector */
	__u32 message_left;             /* bytes left in the current message */
	__u16 messages_left;
	__u8 copied_vector;             /* the vector is the kernel's copy, not the program's own */
	__u8 pad[5];
};

/* left: bytes of the call not yet handed out. readable: `now` finds them; otherwise they are only counted. */
struct buffer_walk {
	struct buffer_position now;
	struct buffer_position begin;
	__u64 left;
	__u64 length;
	__u8 readable;
	__u8 pad[7];
};

/* Bytes that were counted and cannot be seen, until one of the starts below finds them. */
static __always_inline void start_blind(struct buffer_walk *walk, __u64 length)
{
	__builtin_memset(&walk->now, 0, sizeof(walk->now));
	walk->begin = walk->now;
	walk->now.message_left = length;
	walk->left = length;
	walk->length = length;
	walk->readable = false;
}

static __always_inline void start_buffer(struct buffer_walk *walk, const void *start, __u64 length)
{
	walk->now.start = start;
	walk->now.piece = length;
	walk->begin = walk->now;
	walk->readable = true;
}

static __always_inline void start_vector(struct buffer_walk *walk, const struct iovec *vector, __u64 pieces, bool copied)
{
	walk->now.vector = vector;
	walk->now.pieces = pieces;
	walk->now.copied_vector = copied;
	walk->begin = walk->now;
	walk->readable = true;
}

static __always_inline void start_messages(struct buffer_walk *walk, const struct mmsghdr *messages, __u16 count)
{
	walk->now.messages = messages;
	walk->now.messages_left = count;
	walk->begin = walk->now;
	walk->readable = true;
}

static __always_inline void start_again(struct buffer_walk *walk)
{
	walk->now = walk->begin;
	walk->left = walk->length;
}

static __always_inline bool read_piece(const struct buffer_position *at, struct iovec *entry)
{
	if (at->copied_vector)
		return !bpf_probe_read_kernel(entry, sizeof(*entry), at->vector);
	return !bpf_probe_read_user(entry, sizeof(*entry), at->vector);
}

static __always_inline bool next_message(struct buffer_position *at)
{
	struct mmsghdr message;

	if (!at->messages_left || bpf_probe_read_user(&message, sizeof(message), at->messages))
		return false;
	at->messages++;
	at->messages_left--;
	at->vector = message.msg_hdr.msg_iov;
	at->pieces = message.msg_hdr.msg_iovlen;
	at->message_left = message.msg_len;
	return true;
}

/* Makes `now` the next bytes, of which there may be none; false at the end. */
static __always_inline bool next_piece(struct buffer_walk *walk)
{
	struct iovec entry;

	if (!walk->left)
		return false;
	if (walk->now.piece)
		return true;
	if ((!walk->now.pieces || !walk->now.message_left) && !next_message(&walk->now))
		return false;
	if (!walk->now.pieces)
		return true;
	if (!read_piece(&walk->now, &entry))
		return false;
	walk->now.vector++;
	walk->now.pieces--;
	walk->now.start = entry.iov_base;
	walk->now.piece = entry.iov_len < walk->now.message_left ? entry.iov_len : walk->now.message_left;
	if (walk->now.piece > walk->left)
		walk->now.piece = walk->left;
	walk->now.message_left -= walk->now.piece;
	return true;
}

static __always_inline void take_bytes(struct buffer_walk *walk, __u64 taken)
{
	walk->now.start += taken;
	walk->now.piece -= taken;
	walk->left -= taken;
}

#endif

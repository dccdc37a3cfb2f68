/* The bytes that the current system call moved, found through its arguments. Only the calls that read and write
 * sockets are known; for all others (sendfile, io_uring, 32-bit programs, ...) the bytes are counted but not seen. */
#ifndef HONEYGUIDE_USER_BUFFER_BPF_H
#define HONEYGUIDE_USER_BUFFER_BPF_H

#if defined(__TARGET_ARCH_x86)
enum { CALL_READ = 0, CALL_WRITE = 1, CALL_READV = 19, CALL_WRITEV = 20, CALL_SENDTO = 44, CALL_RECVFROM = 45,
       CALL_SENDMSG = 46, CALL_RECVMSG = 47 };
#define USER_CODE_SEGMENT 0x33 /* __USER_CS: a 64-bit program; others number their calls differently */
#elif defined(__TARGET_ARCH_arm64)
enum { CALL_READ = 63, CALL_WRITE = 64, CALL_READV = 65, CALL_WRITEV = 66, CALL_SENDTO = 206, CALL_RECVFROM = 207,
       CALL_SENDMSG = 211, CALL_RECVMSG = 212 };
#endif

/* Walks the pieces of a user buffer. left: bytes of the call not yet handed out. */
struct buffer_walk {
	const struct iovec *vector; /* the next piece; NULL: there is one piece only */
	const __u8 *start;
	__u64 piece;                /* bytes left in the current piece */
	__u64 left;
	__u32 pieces;               /* pieces left in the vector */
	__u32 pad;
};

static __always_inline bool start_vector(struct buffer_walk *walk, const struct iovec *vector, __u64 pieces)
{
	walk->vector = vector;
	walk->pieces = pieces;
	walk->piece = 0;
	return true;
}

/* False when the bytes cannot be found. length: what the call returned. */
static __always_inline bool start_walk(struct buffer_walk *walk, __u64 length)
{
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct user_msghdr message;
	__u64 call;

	__builtin_memset(walk, 0, sizeof(*walk));
	walk->left = length;
#if defined(__TARGET_ARCH_x86)
	if (registers->cs != USER_CODE_SEGMENT)
		return false;
	call = registers->orig_ax;
#else
	call = registers->syscallno;
#endif
	switch (call) {
	case CALL_READ:
	case CALL_WRITE:
	case CALL_SENDTO:
	case CALL_RECVFROM:
		walk->start = (const void *)PT_REGS_PARM2_CORE_SYSCALL(registers);
		walk->piece = length;
		return true;
	case CALL_READV:
	case CALL_WRITEV:
		return start_vector(walk, (const void *)PT_REGS_PARM2_CORE_SYSCALL(registers), PT_REGS_PARM3_CORE_SYSCALL(registers));
	case CALL_SENDMSG:
	case CALL_RECVMSG:
		if (bpf_probe_read_user(&message, sizeof(message), (const void *)PT_REGS_PARM2_CORE_SYSCALL(registers)))
			return false;
		return start_vector(walk, message.msg_iov, message.msg_iovlen);
	default:
		return false;
	}
}

/* Makes `start` and `piece` the next bytes; false at the end. */
static __always_inline bool next_piece(struct buffer_walk *walk)
{
	struct iovec entry;

	if (!walk->left)
		return false;
	if (walk->piece)
		return true;
	if (!walk->pieces || bpf_probe_read_user(&entry, sizeof(entry), walk->vector))
		return false;
	walk->vector++;
	walk->pieces--;
	walk->start = entry.iov_base;
	walk->piece = entry.iov_len < walk->left ? entry.iov_len : walk->left;
	return true;
}

static __always_inline void take_bytes(struct buffer_walk *walk, __u64 taken)
{
	walk->start += taken;
	walk->piece -= taken;
	walk->left -= taken;
}

#endif

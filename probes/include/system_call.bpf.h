/* The arguments of a system call that reads or writes a socket. What is not here (io_uring, 32-bit programs, ...) is counted
 * but not seen. */
#ifndef HONEYGUIDE_SYSTEM_CALL_BPF_H
#define HONEYGUIDE_SYSTEM_CALL_BPF_H

#include "user_buffer.bpf.h"

#if defined(__TARGET_ARCH_x86)
enum { CALL_READ = 0, CALL_WRITE = 1, CALL_READV = 19, CALL_WRITEV = 20, CALL_SENDFILE = 40, CALL_SENDTO = 44,
       CALL_RECVFROM = 45, CALL_SENDMSG = 46, CALL_RECVMSG = 47, CALL_SPLICE = 275, CALL_RECVMMSG = 299, CALL_SENDMMSG = 307 };
#define USER_CODE_SEGMENT 0x33 /* __USER_CS: a 64-bit program; others number their calls differently */
#define CALL_NUMBER(registers) ((registers)->cs == USER_CODE_SEGMENT ? (long)(registers)->orig_ax : -1)
#define CALL_ARGUMENT_1(registers) ((registers)->di)
#define CALL_ARGUMENT_2(registers) ((registers)->si)
#define CALL_ARGUMENT_3(registers) ((registers)->dx)
#define CALL_ARGUMENT_4(registers) ((registers)->r10)
#elif defined(__TARGET_ARCH_arm64)
enum { CALL_READ = 63, CALL_WRITE = 64, CALL_READV = 65, CALL_WRITEV = 66, CALL_SENDFILE = 71, CALL_SPLICE = 76,
       CALL_SENDTO = 206, CALL_RECVFROM = 207, CALL_SENDMSG = 211, CALL_RECVMSG = 212, CALL_RECVMMSG = 243, CALL_SENDMMSG = 269 };
#define CALL_NUMBER(registers) ((long)(registers)->syscallno)
#define CALL_ARGUMENT_1(registers) ((registers)->orig_x0)
#define CALL_ARGUMENT_2(registers) ((registers)->regs[1])
#define CALL_ARGUMENT_3(registers) ((registers)->regs[2])
#define CALL_ARGUMENT_4(registers) ((registers)->regs[3])
#endif

static __always_inline bool moves_several(long call)
{
	return call == CALL_SENDMMSG || call == CALL_RECVMMSG;
}

/* The walk is blind and stays so when the bytes cannot be found. message: which of a call that moves several, counted from 0. */
static __always_inline void start_call(struct buffer_walk *walk, const struct pt_regs *registers, long call, __u32 message)
{
	const void *second = (const void *)CALL_ARGUMENT_2(registers);
	__u64 third = CALL_ARGUMENT_3(registers);
	struct user_msghdr header;

	barrier_var(third); /* read here: the verifier wants one kind of pointer at each load */

	switch (call) {
	case CALL_READ:
	case CALL_WRITE:
	case CALL_SENDTO:
	case CALL_RECVFROM:
		start_buffer(walk, second, walk->length);
		break;
	case CALL_READV:
	case CALL_WRITEV:
		start_vector(walk, second, third, false);
		break;
	case CALL_SENDMMSG:
	case CALL_RECVMMSG:
		second += message * sizeof(struct mmsghdr);
		/* fallthrough */
	case CALL_SENDMSG:
	case CALL_RECVMSG:
		if (!bpf_probe_read_user(&header, sizeof(header), second))
			start_vector(walk, header.msg_iov, header.msg_iovlen, false);
	}
}

#endif

/* The tap for kernels where nothing else can be had: the end of every system call of the node, so each of them pays for a
 * look at its number. The registers still hold the arguments. */
#ifndef HONEYGUIDE_SYSTEM_CALL_ENDS_BPF_H
#define HONEYGUIDE_SYSTEM_CALL_ENDS_BPF_H

#include "streams_by_address.bpf.h"
#include "system_call.bpf.h"

#define MESSAGES_MAX 32     /* of one call whose bytes are counted */
#define MOVED_MAX 0x7fffffff /* by one call */

static __always_inline const struct sock *sock_of_descriptor(__u32 descriptor)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	const struct socket *socket;
	const struct file *file;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + descriptor) || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & FILE_TYPE_MASK) != FILE_IS_SOCKET)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* Of all messages that the call moved; the kernel wrote each one's length into the vector. */
static __noinline long bytes_of_messages(const struct mmsghdr *messages, long count)
{
	unsigned int length = 0;
	long all = 0;

	for (int number = 0; number < MESSAGES_MAX && number < count; number++) {
		if (bpf_probe_read_user(&length, sizeof(length), &messages[number].msg_len))
			break;
		all += length;
	}
	return all & MOVED_MAX; /* one range for the verifier, however many there were */
}

/* Peeked bytes stay and will be read again. */
static __always_inline bool only_looks(const struct pt_regs *registers, long call)
{
	if (call == CALL_RECVMSG)
		return CALL_ARGUMENT_3(registers) & MESSAGE_PEEK;
	return (call == CALL_RECVFROM || call == CALL_RECVMMSG) && (CALL_ARGUMENT_4(registers) & MESSAGE_PEEK);
}

static __always_inline bool writes(long call)
{
	return call == CALL_WRITE || call == CALL_WRITEV || call == CALL_SENDTO || call == CALL_SENDMSG || call == CALL_SENDMMSG
		|| call == CALL_SENDFILE;
}

static __always_inline bool reads(long call)
{
	return call == CALL_READ || call == CALL_READV || call == CALL_RECVFROM || call == CALL_RECVMSG || call == CALL_RECVMMSG;
}

static __noinline int on_system_call(void *context, const struct pt_regs *registers, long call, long result)
{
	const struct sock *sk = sock_of_descriptor(CALL_ARGUMENT_1(registers));
	struct socket_stream *stream;
	struct buffer_walk *walk;
	bool sent = writes(call);

	if (call == CALL_SPLICE && !sk) { /* one end is a pipe */
		sk = sock_of_descriptor(CALL_ARGUMENT_3(registers));
		sent = true;
	}
	if (!sk || !carries_requests_of(sk))
		return 0;
	if (moves_several(call))
		result = bytes_of_messages((const void *)CALL_ARGUMENT_2(registers), result);
	stream = stream_of_sock(context, sk, result, sent);
	if (!stream)
		return 0;
	walk = &stream->walks[sent & 1];
	start_blind(walk, result);
	if (moves_several(call))
		start_messages(walk, (const void *)CALL_ARGUMENT_2(registers), CALL_ARGUMENT_3(registers));
	else
		start_call(walk, registers, call, 0);
	return move_bytes(context, stream, sk, sent);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(system_call_ends, struct pt_regs *registers, long result)
{
	long call = CALL_NUMBER(registers);

	if (result < 0 || !(reads(call) || writes(call) || call == CALL_SPLICE) || only_looks(registers, call))
		return 0;
	if (result == 0 && !reads(call))
		return 0;
	return on_system_call(ctx, registers, call, result);
}

#endif

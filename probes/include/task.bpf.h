/* Who is running: the current process, never for a kernel thread. */
#ifndef HONEYGUIDE_TASK_BPF_H
#define HONEYGUIDE_TASK_BPF_H

#define TASK_IS_KERNEL_THREAD 0x00200000 /* PF_KTHREAD, include/linux/sched.h */

struct process_identity {
	boot_ns process_started_at;
	process_id process;
	__u32 pad;
	command_name command;
};

static __always_inline bool identify_process(struct task_struct *task, struct process_identity *identity)
{
	struct task_struct *leader;

	if (BPF_CORE_READ(task, flags) & TASK_IS_KERNEL_THREAD)
		return false;
	leader = BPF_CORE_READ(task, group_leader);
	identity->process = BPF_CORE_READ(task, tgid);
	identity->process_started_at = BPF_CORE_READ(leader, start_boottime);
	BPF_CORE_READ_STR_INTO(&identity->command, leader, comm);
	return true;
}

#endif

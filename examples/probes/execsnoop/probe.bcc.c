/* Every program that is started, and by whom. */
enum account { ACCOUNT_EXECUTIONS, ACCOUNT_COUNT };

struct execution {
	boot_ns observed_at;
	cgroup_id cgroup;
	process_id process;
	process_id parent;
	command_name command;
};

BPF_PERF_OUTPUT(executions);

int raw_tracepoint__sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct execution row = {};

	COUNT(ACCOUNT_EXECUTIONS, seen);
	row.observed_at = bpf_ktime_get_boot_ns();
	row.cgroup = bpf_get_current_cgroup_id();
	row.process = task->tgid;
	row.parent = task->real_parent->tgid;
	bpf_get_current_comm(row.command, sizeof(row.command));
	count_submit(ACCOUNT_EXECUTIONS, executions.perf_submit(ctx, &row, sizeof(row)));
	return 0;
}

/* Every file that is opened with openat(2), by whom, and what came of it. */
enum account { ACCOUNT_OPENS, ACCOUNT_COUNT };

struct file_open {
	boot_ns observed_at;
	cgroup_id cgroup;
	process_id process;
	error_number error;
	command_name command;
	char path[128];
};

BPF_HASH(paths, u32, const char *, 8192);
BPF_PERCPU_ARRAY(scratch, struct file_open, 1);
BPF_PERF_OUTPUT(opens);

TRACEPOINT_PROBE(syscalls, sys_enter_openat)
{
	u32 thread = bpf_get_current_pid_tgid();
	const char *path = args->filename;
	paths.update(&thread, &path);
	return 0;
}

TRACEPOINT_PROBE(syscalls, sys_exit_openat)
{
	u32 thread = bpf_get_current_pid_tgid();
	int zero = 0;
	const char **path = paths.lookup(&thread);
	struct file_open *row = scratch.lookup(&zero);
	if (!path || !row)
		return 0;
	COUNT(ACCOUNT_OPENS, seen);
	row->observed_at = bpf_ktime_get_boot_ns();
	row->cgroup = bpf_get_current_cgroup_id();
	row->process = bpf_get_current_pid_tgid() >> 32;
	row->error = args->ret < 0 ? -args->ret : 0;
	bpf_get_current_comm(row->command, sizeof(row->command));
	bpf_probe_read_user_str(row->path, sizeof(row->path), *path);
	paths.delete(&thread);
	count_submit(ACCOUNT_OPENS, opens.perf_submit(args, row, sizeof(*row)));
	return 0;
}

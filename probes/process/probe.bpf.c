/* Every process of the node from its first moment to its last, and every cgroup: who did it, and in which container or unit.
 * Nothing is kept between events, so no flood of processes can exhaust anything but the ring, and that is counted. */
#include "probe.bpf.h"
#include "executable.bpf.h"

#define CGROUP_PATH_SIZE 384      /* kind's nested systemd paths are 290 bytes long */
#define CGROUP_PATH_LONGEST 1024  /* TRACE_CGROUP_PATH_LEN, kernel/cgroup/cgroup-internal.h */
#define GROUP_IS_EXITING 4        /* SIGNAL_GROUP_EXIT, include/linux/sched/signal.h */
#define SIGNAL_MASK 0x7f          /* wait(2): the low seven bits are the signal, 0x80 the core dump, above it the status */

enum account { ACCOUNT_PROCESSES, ACCOUNT_SNAPSHOT, ACCOUNT_CGROUPS, ACCOUNT_COUNT };

enum process_event_kind {
	PROCESS_EVENT_KIND_EXISTING, /* older than the agent */
	PROCESS_EVENT_KIND_STARTED,  /* forked: still the program of its parent */
	PROCESS_EVENT_KIND_EXECUTED, /* became another program */
	PROCESS_EVENT_KIND_EXITED,
	PROCESS_EVENT_KIND_OOM_KILLED,
};

enum process_outcome {
	PROCESS_OUTCOME_RUNNING,
	PROCESS_OUTCOME_SUCCEEDED,   /* exit status 0 */
	PROCESS_OUTCOME_FAILED,      /* any other exit status */
	PROCESS_OUTCOME_KILLED,      /* by a signal */
	PROCESS_OUTCOME_OOM_KILLED,
};

/* As numbered on x86, arm, powerpc, riscv and s390 (signal(7)); real-time signals keep their number. */
enum process_signal {
	PROCESS_SIGNAL_NONE, PROCESS_SIGNAL_SIGHUP, PROCESS_SIGNAL_SIGINT, PROCESS_SIGNAL_SIGQUIT, PROCESS_SIGNAL_SIGILL,
	PROCESS_SIGNAL_SIGTRAP, PROCESS_SIGNAL_SIGABRT, PROCESS_SIGNAL_SIGBUS, PROCESS_SIGNAL_SIGFPE, PROCESS_SIGNAL_SIGKILL,
	PROCESS_SIGNAL_SIGUSR1, PROCESS_SIGNAL_SIGSEGV, PROCESS_SIGNAL_SIGUSR2, PROCESS_SIGNAL_SIGPIPE, PROCESS_SIGNAL_SIGALRM,
	PROCESS_SIGNAL_SIGTERM, PROCESS_SIGNAL_SIGSTKFLT, PROCESS_SIGNAL_SIGCHLD, PROCESS_SIGNAL_SIGCONT, PROCESS_SIGNAL_SIGSTOP,
	PROCESS_SIGNAL_SIGTSTP, PROCESS_SIGNAL_SIGTTIN, PROCESS_SIGNAL_SIGTTOU, PROCESS_SIGNAL_SIGURG, PROCESS_SIGNAL_SIGXCPU,
	PROCESS_SIGNAL_SIGXFSZ, PROCESS_SIGNAL_SIGVTALRM, PROCESS_SIGNAL_SIGPROF, PROCESS_SIGNAL_SIGWINCH, PROCESS_SIGNAL_SIGIO,
	PROCESS_SIGNAL_SIGPWR, PROCESS_SIGNAL_SIGSYS,
};

struct process_event {
	boot_ns observed_at;
	boot_ns process_started_at;
	duration_ns lifetime;            /* of an exited process */
	cgroup_id cgroup;                /* v2 */
	process_id process;
	process_id parent;               /* who waits for it */
	process_id creator;              /* started: who called fork or clone, and whose cgroups it has; not the parent under CLONE_PARENT */
	user_id user;                    /* real user id, as the root user namespace counts */
	netns_id netns;
	__u32 exit_status;
	enum process_event_kind event;
	enum process_outcome outcome;
	enum process_signal signal;
	command_name command;
	char executable[EXECUTABLE_SIZE]; /* existing, executed: path of the file; its end without a leading / where it is longer */
	__u32 pad;
};

enum cgroup_event_kind {
	CGROUP_EVENT_KIND_EXISTING,
	CGROUP_EVENT_KIND_CREATED,
	CGROUP_EVENT_KIND_REMOVED,
	CGROUP_EVENT_KIND_RENAMED,
	CGROUP_EVENT_KIND_ATTACHED,  /* a process was moved into it */
};

struct cgroup_event {
	boot_ns observed_at;
	boot_ns process_started_at;  /* attached */
	__u64 cgroup;                /* no cgroup_id: unique within its hierarchy only */
	__u32 hierarchy;             /* first number of a line of /proc/PID/cgroup; 0: v2 */
	process_id process;          /* attached */
	enum cgroup_event_kind event;
	char path[CGROUP_PATH_SIZE]; /* from the root of its hierarchy; its end without a leading / where it is longer */
	__u32 pad;
};

struct path_scratch {
	char path[CGROUP_PATH_LONGEST + CGROUP_PATH_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_scratch);
} cgroup_path_scratch SEC(".maps");

struct ended_key {
	boot_ns process_started_at;
	process_id process;
	__u32 pad;
};

/* Before 6.16 two threads that exit at once can both find the group dead; the second is told apart by this. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct ended_key);
	__type(value, __u8);
} ended SEC(".maps");

ACCOUNTS(ACCOUNT_COUNT);
RECORD_RING(process_events, struct process_event);
RECORD_RING(cgroup_events, struct cgroup_event);

static __always_inline bool is_process(const struct task_struct *task)
{
	return BPF_CORE_READ(task, pid) == BPF_CORE_READ(task, tgid) && !(BPF_CORE_READ(task, flags) & TASK_IS_KERNEL_THREAD);
}

static __always_inline void fill_process(struct task_struct *task, enum process_event_kind event, struct process_event *record)
{
	struct process_identity identity = {};

	__builtin_memset(record, 0, sizeof(*record));
	identify_process(task, &identity);
	record->observed_at = bpf_ktime_get_boot_ns();
	record->process_started_at = identity.process_started_at;
	record->process = identity.process;
	__builtin_memcpy(record->command, identity.command, sizeof(record->command));
	record->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	record->parent = BPF_CORE_READ(task, group_leader, real_parent, tgid);
	record->user = BPF_CORE_READ(task, real_cred, uid.val);
	record->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	record->event = event;
}

static __always_inline int report_start(void *context, struct task_struct *creator, struct task_struct *child)
{
	struct process_event *record;

	COUNT(ACCOUNT_PROCESSES, seen);
	if (!is_process(child)) {
		COUNT(ACCOUNT_PROCESSES, filtered); /* a thread of a known process, or of the kernel */
		return 0;
	}
	record = RESERVE(process_events, ACCOUNT_PROCESSES);
	if (!record)
		return 0;
	fill_process(child, PROCESS_EVENT_KIND_STARTED, record);
	record->creator = BPF_CORE_READ(creator, tgid);
	SUBMIT(process_events, record, ACCOUNT_PROCESSES, context);
	return 0;
}

static __always_inline int report_execution(void *context, struct task_struct *task)
{
	struct process_event *record;

	COUNT(ACCOUNT_PROCESSES, seen);
	record = RESERVE(process_events, ACCOUNT_PROCESSES);
	if (!record)
		return 0;
	fill_process(task, PROCESS_EVENT_KIND_EXECUTED, record);
	read_executable(task, EXECUTABLE_READER_EVENT, record->executable);
	SUBMIT(process_events, record, ACCOUNT_PROCESSES, context);
	return 0;
}

/* fs/exit.c sends the status of the whole group while it is ending as one, else that of its leader. */
static __always_inline __u32 exit_code_of_group(const struct task_struct *task)
{
	if (BPF_CORE_READ(task, signal, flags) & GROUP_IS_EXITING)
		return BPF_CORE_READ(task, signal, group_exit_code);
	return BPF_CORE_READ(task, group_leader, exit_code);
}

static __always_inline enum process_outcome outcome_of_exit(const struct task_struct *task, __u32 code)
{
	if (!(code & SIGNAL_MASK))
		return code ? PROCESS_OUTCOME_FAILED : PROCESS_OUTCOME_SUCCEEDED;
	/* set for good by mark_oom_victim() */
	return BPF_CORE_READ(task, signal, oom_mm) ? PROCESS_OUTCOME_OOM_KILLED : PROCESS_OUTCOME_KILLED;
}

static __always_inline bool is_reported(const struct task_struct *task)
{
	struct ended_key key = {
		.process = BPF_CORE_READ(task, tgid),
		.process_started_at = BPF_CORE_READ(task, group_leader, start_boottime),
	};
	__u8 value = 0;
	/* An int: before d7ba4cc900bf (6.4) the upper half of what comes back is zero. */
	int failure = bpf_map_update_elem(&ended, &key, &value, BPF_NOEXIST);

	return failure == -17; /* EEXIST */
}

/* group_dead: given by the tracepoint since 6.16, and part of its format. */
static __always_inline bool is_group_dead(const struct task_struct *task, bool group_dead)
{
	if (bpf_core_field_exists(((struct trace_event_raw_sched_process_exit *)0)->group_dead))
		return group_dead;
	return BPF_CORE_READ(task, signal, live.counter) == 0 && !is_reported(task);
}

static __always_inline int report_exit(void *context, struct task_struct *task, bool group_dead)
{
	struct process_event *record;
	__u32 code;

	COUNT(ACCOUNT_PROCESSES, seen);
	if ((BPF_CORE_READ(task, flags) & TASK_IS_KERNEL_THREAD) || !is_group_dead(task, group_dead)) {
		COUNT(ACCOUNT_PROCESSES, filtered);
		return 0;
	}
	record = RESERVE(process_events, ACCOUNT_PROCESSES);
	if (!record)
		return 0;
	fill_process(task, PROCESS_EVENT_KIND_EXITED, record);
	code = exit_code_of_group(task);
	record->exit_status = (code >> 8) & 0xff;
	record->signal = code & SIGNAL_MASK;
	record->outcome = outcome_of_exit(task, code);
	record->lifetime = record->observed_at - record->process_started_at;
	SUBMIT(process_events, record, ACCOUNT_PROCESSES, context);
	return 0;
}

static __always_inline int report_oom_kill(void *context, __u64 victim)
{
	struct process_event *record;

	COUNT(ACCOUNT_PROCESSES, seen);
	record = RESERVE(process_events, ACCOUNT_PROCESSES); /* right before its check: old verifiers see no link over a call */
	if (!record)
		return 0;
	if (bpf_core_field_exists(((struct trace_event_raw_mark_victim *)0)->uid)) {
		fill_process((struct task_struct *)victim, PROCESS_EVENT_KIND_OOM_KILLED, record);
	} else {
		/* before 6.9 the tracepoint gives the number only; user space knows the rest */
		__builtin_memset(record, 0, sizeof(*record));
		record->observed_at = bpf_ktime_get_boot_ns();
		record->process = (__u32)victim;
		record->event = PROCESS_EVENT_KIND_OOM_KILLED;
	}
	record->outcome = PROCESS_OUTCOME_OOM_KILLED;
	SUBMIT(process_events, record, ACCOUNT_PROCESSES, context);
	return 0;
}

static __always_inline void fill_cgroup_path(const char *path, char *target)
{
	__u32 zero = 0, start;
	struct path_scratch *scratch = bpf_map_lookup_elem(&cgroup_path_scratch, &zero);
	long length;

	if (!scratch)
		return;
	length = bpf_probe_read_kernel_str(scratch->path, CGROUP_PATH_LONGEST, path);
	if (length <= 0)
		return;
	start = length > CGROUP_PATH_SIZE ? length - CGROUP_PATH_SIZE : 0;
	bpf_probe_read_kernel_str(target, CGROUP_PATH_SIZE, &scratch->path[start & (CGROUP_PATH_LONGEST - 1)]);
}

static __always_inline struct cgroup_event *fill_cgroup(const struct cgroup *cgroup, const char *path, enum cgroup_event_kind event)
{
	struct cgroup_event *record = RESERVE(cgroup_events, ACCOUNT_CGROUPS);

	if (!record)
		return 0;
	__builtin_memset(record, 0, sizeof(*record));
	record->observed_at = bpf_ktime_get_boot_ns();
	record->cgroup = BPF_CORE_READ(cgroup, kn, id);
	record->hierarchy = BPF_CORE_READ(cgroup, root, hierarchy_id);
	record->event = event;
	fill_cgroup_path(path, record->path);
	return record;
}

static __always_inline int report_cgroup(void *context, const struct cgroup *cgroup, const char *path, enum cgroup_event_kind event)
{
	struct cgroup_event *record;

	COUNT(ACCOUNT_CGROUPS, seen);
	record = fill_cgroup(cgroup, path, event);
	if (record)
		SUBMIT(cgroup_events, record, ACCOUNT_CGROUPS, context);
	return 0;
}

static __always_inline int report_attachment(void *context, const struct cgroup *cgroup, const char *path,
					     const struct task_struct *task, bool whole_group)
{
	struct cgroup_event *record;

	COUNT(ACCOUNT_CGROUPS, seen);
	if ((!whole_group && BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
	    || (BPF_CORE_READ(task, flags) & TASK_IS_KERNEL_THREAD)) {
		COUNT(ACCOUNT_CGROUPS, filtered); /* one thread moved, its process stays */
		return 0;
	}
	record = fill_cgroup(cgroup, path, CGROUP_EVENT_KIND_ATTACHED);
	if (!record)
		return 0;
	record->process = BPF_CORE_READ(task, tgid);
	record->process_started_at = BPF_CORE_READ(task, group_leader, start_boottime);
	SUBMIT(cgroup_events, record, ACCOUNT_CGROUPS, context);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_started, struct task_struct *creator, struct task_struct *child)
{
	return report_start(ctx, creator, child);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_executed, struct task_struct *task)
{
	return report_execution(ctx, task);
}

/* The second argument may only be touched where the kernel has it. */
SEC("tp_btf/sched_process_exit")
int process_exited(unsigned long long *ctx)
{
	bool group_dead = false;

	if (bpf_core_field_exists(((struct trace_event_raw_sched_process_exit *)0)->group_dead))
		group_dead = (bool)ctx[1];
	return report_exit(ctx, (void *)ctx[0], group_dead);
}

SEC("tp_btf/mark_victim")
int process_oom_killed(unsigned long long *ctx)
{
	return report_oom_kill(ctx, ctx[0]);
}

SEC("iter/task")
int read_existing_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct process_event record;

	if (!task)
		return 0;
	COUNT(ACCOUNT_SNAPSHOT, seen);
	if (!is_process(task)) {
		COUNT(ACCOUNT_SNAPSHOT, filtered);
		return 0;
	}
	fill_process(task, PROCESS_EVENT_KIND_EXISTING, &record);
	read_executable(task, EXECUTABLE_READER_ITERATOR, record.executable);
	if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
		COUNT(ACCOUNT_SNAPSHOT, filtered); /* the page is full: the kernel calls again for the same task */
	else
		COUNT(ACCOUNT_SNAPSHOT, emitted);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_created, struct cgroup *cgroup, const char *path)
{
	return report_cgroup(ctx, cgroup, path, CGROUP_EVENT_KIND_CREATED);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_removed, struct cgroup *cgroup, const char *path)
{
	return report_cgroup(ctx, cgroup, path, CGROUP_EVENT_KIND_REMOVED);
}

SEC("tp_btf/cgroup_rename")
int BPF_PROG(cgroup_renamed, struct cgroup *cgroup, const char *path)
{
	return report_cgroup(ctx, cgroup, path, CGROUP_EVENT_KIND_RENAMED);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_attached, struct cgroup *cgroup, const char *path, struct task_struct *task, bool whole_group)
{
	return report_attachment(ctx, cgroup, path, task, whole_group);
}


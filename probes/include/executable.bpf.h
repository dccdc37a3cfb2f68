/* Which file a process runs: the path that /proc/PID/exe shows, without its arguments (they may be secret). */
#ifndef HONEYGUIDE_EXECUTABLE_BPF_H
#define HONEYGUIDE_EXECUTABLE_BPF_H

#define EXECUTABLE_SIZE 128 /* a power of two: the verifier understands masks */
#define EXECUTABLE_STEPS 32 /* directories and mounts between a program and its root */

struct executable_scratch {
	char path[2 * EXECUTABLE_SIZE]; /* written from the right end of the first half */
	__u32 start;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct executable_scratch);
} executable_scratch SEC(".maps");

/* Puts "/name" before what is there; false when no room is left for more. The offset is kept in memory,
 * so that the verifier sees the same unknown number in every round of the loop. */
static __always_inline bool prepend_name(struct executable_scratch *scratch, const struct dentry *dentry)
{
	__u32 length = BPF_CORE_READ(dentry, d_name.len), room = scratch->start;
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);

	if (length < room) {
		room -= length + 1;
		scratch->path[room & (EXECUTABLE_SIZE - 1)] = '/';
		bpf_probe_read_kernel(&scratch->path[(room & (EXECUTABLE_SIZE - 1)) + 1], length & (EXECUTABLE_SIZE - 1), name);
		scratch->start = room;
		return true;
	}
	bpf_probe_read_kernel(scratch->path, room & (EXECUTABLE_SIZE - 1), name + (length - room));
	scratch->start = room ? 0 : 1; /* no leading / on what is not the whole path */
	return false;
}

enum executable_reader { EXECUTABLE_READER_EVENT, EXECUTABLE_READER_ITERATOR };

/* What /proc/PID/exe says: from the file up through the directories and mounts that it is in.
 * An event can interrupt an iterator on the same CPU: each has its own scratch. */
static __always_inline void read_executable(const struct task_struct *task, __u32 reader, char *executable)
{
	struct executable_scratch *scratch = bpf_map_lookup_elem(&executable_scratch, &reader);
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry), *parent;
	struct mount *mount = (void *)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt), *below;

	if (!scratch || !file)
		return;
	scratch->start = EXECUTABLE_SIZE - 1;
	scratch->path[EXECUTABLE_SIZE - 1] = 0;
	for (int step = 0; step < EXECUTABLE_STEPS; step++) {
		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
			below = BPF_CORE_READ(mount, mnt_parent);
			if (below == mount)
				break;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = below;
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (!prepend_name(scratch, dentry) || parent == dentry)
			break; /* a file outside every directory (memfd) is its own parent */
		dentry = parent;
	}
	bpf_probe_read_kernel_str(executable, EXECUTABLE_SIZE, &scratch->path[scratch->start & (EXECUTABLE_SIZE - 1)]);
}

#endif

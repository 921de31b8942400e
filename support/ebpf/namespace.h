/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_NAMESPACE_H
#define STROBE_NAMESPACE_H

/*
 * Processes have the numbers that user space knows them by: those of its /proc. In
 * a container with a PID namespace of its own these are not the kernel's, and most
 * processes of the host have none: their number is 0 here.
 */

/* Inode number of the PID namespace of user space's /proc, 0: the initial one. */
const volatile u32 pid_namespace = 0;

#define MAX_PID_NAMESPACES 33 /* MAX_PID_NS_LEVEL in linux/pid_namespace.h, and the initial one */

struct pid_search {
	struct pid *pid;
	s32 level;
	u32 nr;
};

/* From the innermost namespace outwards: nearly always it is that one. */
static long pid_level(u32 i, struct pid_search *s)
{
	struct upid number = {};
	struct pid_namespace *ns;

	if (s->level < 0)
		return 1;
	if (bpf_probe_read_kernel(&number, sizeof(number), (void *)s->pid->numbers + s->level * sizeof(number)))
		return 1;
	unsigned int inum = 0;
	ns = number.ns;
	if (bpf_probe_read_kernel(&inum, sizeof(inum), &ns->ns.inum))
		return 1;
	if (inum == pid_namespace) {
		s->nr = number.nr;
		return 1;
	}
	s->level--;
	return 0;
}

/* The number of a thread. */
static __noinline u32 number_of(struct task_struct *task)
{
	if (!pid_namespace)
		return task->pid;
	struct pid *pid = task->thread_pid;
	if (!pid) /* it has just exited */
		return 0;
	struct pid_search s = {.pid = pid, .level = pid->level};
	bpf_loop(MAX_PID_NAMESPACES, pid_level, &s, 0);
	return s.nr;
}

/* The number of the process of a thread. */
static __always_inline u32 process_of(struct task_struct *task)
{
	if (!pid_namespace)
		return task->tgid;
	return number_of(task->group_leader);
}

#endif

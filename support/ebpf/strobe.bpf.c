// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

/*
 * The kernel side of the agent. One object: the sampler and the programs that
 * follow processes share their maps. User space removes programs that the
 * kernel has no hook for before it loads the rest.
 */
#include "all.h"
#include "namespace.h"
#include "sample.h"
#include "processes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Sampling period, ns of CPU time that one sample stands for. */
const volatile u64 sample_period = 50000000;

/* Makes the types that only Go uses part of the object's BTF. */
struct event unused_event;
enum event_type unused_event_type;
struct sample_header unused_sample_header;
enum strobe_counter unused_counter;
enum unwind_end unused_end;
enum runtime_id unused_runtime;
struct label unused_label;
enum runtime_error unused_runtime_error;

SEC("perf_event")
int sample_cpu(struct perf_context *ctx)
{
	return take_sample(ctx, 1, sample_period);
}

SEC("tp_btf/sched_process_fork")
int follow_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];

	if (child->pid == child->tgid) /* else a thread */
		inherit(parent, child);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int follow_exec(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;

	count(CTR_EXECS);
	return mm ? walk_mappings(task, mm) : 0;
}

SEC("tp_btf/sched_process_exit")
int follow_exit(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = process_of(task);

	if (task->signal->live.counter || !tgid)
		return 0;
	forget_process(tgid);
	if (wanted & WANT_CHILDREN)
		bpf_map_delete_elem(&filter_pids, &tgid);
	return 0;
}

/* Fires when pages of a file are mapped after a fault: before new code runs. */
SEC("tp_btf/mm_filemap_map_pages")
int follow_fault(u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	u32 tgid = process_of(task);

	if (!mm || !tgid)
		return 0;
	struct process *p = bpf_map_lookup_elem(&processes, &tgid);
	if (p && p->mm == (u64)mm && p->exec_vm == mm->exec_vm)
		return 0;
	return walk_mappings(task, mm);
}

/* What an iterator over tasks is given. */
struct bpf_iter__task {
	void *meta;
	struct task_struct *task;
} __core;

/* Reads the processes that run already, once, when user space asks. */
SEC("iter/task")
int read_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task || task->pid != task->tgid)
		return 0;
	struct mm_struct *mm = task->mm;
	return mm && !(task->flags & PF_KTHREAD) ? walk_mappings(task, mm) : 0;
}

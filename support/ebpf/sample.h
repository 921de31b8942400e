/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_SAMPLE_H
#define STROBE_SAMPLE_H

/* What the user asked for; see the filters of tracer.Config. */
#define WANT_FILTERS	 1
#define WANT_INCLUDES	 2 /* without a matching include a sample is left out */
#define WANT_EXECUTABLES 4
#define WANT_CGROUPS	 8
#define WANT_CHILDREN	 16

const volatile u32 wanted = 0;

static __always_inline bool is_wanted(u32 tgid, struct process *proc, u64 cgroup)
{
	bool included = !(wanted & WANT_INCLUDES);

	u8 *action = bpf_map_lookup_elem(&filter_pids, &tgid);
	if (action) {
		if (*action == FILTER_EXCLUDE)
			return false;
		included = true;
	}
	if ((wanted & WANT_EXECUTABLES) && proc) {
		u32 id = proc->main_exec;
		struct executable *exec = bpf_map_lookup_elem(&executables, &id);
		if (exec) {
			if (exec->flags & EXEC_EXCLUDE)
				return false;
			if (exec->flags & EXEC_INCLUDE)
				included = true;
		}
	}
	if (wanted & WANT_CGROUPS) {
		action = bpf_map_lookup_elem(&filter_cgroups, &cgroup);
		if (action) {
			if (*action == FILTER_EXCLUDE)
				return false;
			included = true;
		}
	}
	return included;
}

/* One frame of a process without runtimes, or whose runtimes are not known yet. */
STEP_FUNCTION sample_one(struct scratch *s, struct process *proc)
{
	if (!s || !proc)
		return 1;
	struct loop_context context = {.st = &s->st, .rec = &s->rec, .proc = proc}, *c = &context;
	struct unwind_state *st = c->st;
	u64 pc = st->pc;
	u64 lookup = st->exact ? pc : pc - 1;

	if (!find_mapping(c, lookup)) {
		if (!st->heuristic)
			request_runtime(st);
		return unmapped_frame(c, lookup);
	}
	if (st->frames >= MAX_USER_FRAMES) {
		st->end = END_DEPTH;
		return 1;
	}
	if (in_made_code(st) || (st->exec.flags & EXEC_RUNTIME))
		request_runtime(st);
	return native_frame(c, pc, lookup);
}

static long sample_step(u32 i, struct steps *all)
{
	return step_result(sample_one(all->s, all->proc));
}

/* Loads what is known of the process's runtimes. Returns the first one. */
static __always_inline u32 load_runtimes(struct unwind_state *st, struct mm_struct *mm)
{
	u32 tgid = st->tgid;
	struct runtime_process *r = bpf_map_lookup_elem(&runtime_processes, &tgid);

	st->slot[0].runtime = RUNTIME_NONE;
	if (!r)
		return RUNTIME_NONE;
	if (!r->mm)
		r->mm = (u64)mm;
	if (r->mm != (u64)mm)
		return RUNTIME_NONE;
	st->slot[0] = r->slot[0];
	st->slot[1] = r->slot[1];
	st->mode = 0;
	__builtin_memset(st->rt, 0, sizeof(st->rt));
	return st->slot[0].runtime;
}

/* Gets ready to unwind the user stack of the current task. Returns why there is
 * none, or END_COMPLETE. */
static __always_inline int begin_user(struct perf_context *ctx, struct scratch *s, struct task_struct *task,
				      struct process *proc, u64 now)
{
	struct unwind_state *st = &s->st;
	struct mm_struct *mm = task->mm;

	if (task->flags & PF_KTHREAD)
		return END_NO_USER;
	if (!st->tgid)
		return END_OUTSIDE;
	if (!mm)
		return END_NO_USER;
	/* User space cannot tell the address of an mm. What it read is as old as it says. */
	if (proc && !proc->mm)
		proc->mm = (u64)mm;
	if (!proc || proc->mm != (u64)mm) {
		request_refresh(st->tgid, mm, now, REFRESH_CHANGED);
		return END_PROCESS_UNKNOWN;
	}
	if (proc->exec_vm != mm->exec_vm)
		request_refresh(st->tgid, mm, now, REFRESH_CHANGED);
	return load_user_regs(st, ctx, task);
}

static long hash_kernel_frame(u32 i, struct loop_context *c)
{
	u64 word = c->rec->frames[i & 127];
	hash_word(c->st, word);
	return 0;
}

/* Takes one sample of the current task. */
static __always_inline int take_sample(struct perf_context *ctx, u8 type, u64 value)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 zero = 0;

	count(CTR_SAMPLES);
	if (!task->tgid) {
		count(CTR_SAMPLES_IDLE);
		return 0;
	}
	u32 tgid = process_of(task);
	struct process *proc = bpf_map_lookup_elem(&processes, &tgid);
	u64 cgroup = bpf_get_current_cgroup_id();
	if ((wanted & WANT_FILTERS) && !is_wanted(tgid, proc, cgroup)) {
		count(CTR_SAMPLES_FILTERED);
		return 0;
	}
	struct scratch *s = bpf_map_lookup_elem(&scratch_map, &zero);
	if (!s)
		return 0;

	struct sample_header *h = &s->rec.hdr;
	struct unwind_state *st = &s->st;

	h->time = bpf_ktime_get_boot_ns();
	h->cgroup_id = cgroup;
	h->start_time = task->group_leader->start_boottime;
	h->value = value;
	h->tgid = tgid;
	h->tid = number_of(task);
	h->ppid = process_of(task->real_parent);
	h->main_exec = proc ? proc->main_exec : EXEC_NONE;
	h->execs = (u32)task->self_exec_id;
	h->cpu = bpf_get_smp_processor_id();
	h->type = type;
	bpf_get_current_comm(h->comm, sizeof(h->comm));

	st->hash_hi = hash_seed_hi;
	st->hash_lo = hash_seed_lo;
	st->map_start = st->map_end = 0;
	st->window_base = 0;
	st->tgid = tgid;
	st->process_hash = ((u64)tgid << 32) ^ h->start_time;
	st->frames = 0;
	st->words = 0;
	st->heuristic = 0;
	st->ended = 0;
	st->asked = 0;
	st->switches = 0;

	long bytes = bpf_get_stack(ctx, s->rec.frames, MAX_KERNEL_FRAMES * 8, 0);
	u32 kernel = 0;
	if (bytes > 0)
		kernel = (u64)bytes / 8;
	else if (bytes < 0 && !context_is_user(ctx))
		count(CTR_ERR_KERNEL_STACK);
	if (kernel > MAX_KERNEL_FRAMES)
		kernel = MAX_KERNEL_FRAMES;
	st->base = kernel;
	struct loop_context c = {.st = st, .rec = &s->rec};
	bpf_loop(kernel, hash_kernel_frame, &c, 0);

	h->kernel_frames = kernel;
	h->runtime = RUNTIME_NONE;
	h->labels = 0;
	st->end = begin_user(ctx, s, task, proc, h->time);
	if (st->end == END_COMPLETE) {
		u32 runtime = load_runtimes(st, task->mm);
		st->end = END_DEPTH; /* unless a step says otherwise */
		if (runtime != RUNTIME_NONE) {
			h->runtime = st->runtime = runtime;
			bpf_tail_call(ctx, &runtime_programs, runtime);
			h->runtime = RUNTIME_NONE; /* it is not loaded */
		}
		struct steps all = {.s = s, .proc = proc};
		bpf_loop(MAX_STEPS, sample_step, &all, 0);
	}
	finish_sample(s);
	return 0;
}

#endif

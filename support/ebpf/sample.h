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
/* Wake user space when this many bytes wait in the ring. */
const volatile u32 wake_bytes = 1 << 18;

/* Least time between two requests to reread a process's mappings, ns. */
#define REFRESH_INTERVAL 50000000ULL

static __always_inline void request_refresh(u32 tgid, u64 now)
{
	u64 *last = bpf_map_lookup_elem(&refreshed, &tgid);
	if (last && now - *last < REFRESH_INTERVAL)
		return;
	bpf_map_update_elem(&refreshed, &tgid, &now, BPF_ANY);
	count(CTR_REFRESH_REQUESTS);
	struct event e = {.type = EVENT_REFRESH, .tgid = tgid};
	send_event(&e);
}

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

/* One frame: names where pc is, and steps to its caller. */
static long unwind_step(u32 i, struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 pc = st->pc;
	u64 lookup = st->exact ? pc : pc - 1;
	u32 rule;

	if (!find_mapping(c, lookup)) {
		if (st->heuristic) {
			st->end = END_FRAME_POINTER;
			return 1;
		}
		push_frame(c, ((u64)FRAME_ANON << FRAME_KIND_SHIFT) | (lookup & 0xffffffffffffULL));
		hash_word(st, st->tgid);
		st->end = END_PC_UNMAPPED;
		return 1;
	}
	st->heuristic = 0;
	if (i >= MAX_USER_FRAMES) {
		st->end = END_DEPTH;
		return 1;
	}
	if (st->exec_id == EXEC_NONE) {
		push_frame(c, ((u64)FRAME_ANON << FRAME_KIND_SHIFT) | (lookup & 0xffffffffffffULL));
		hash_word(st, st->tgid); /* means something in this process only */
		return step_guess(c);
	}
	u64 off = lookup + st->map_bias;
	push_frame(c, ((u64)FRAME_FILE << FRAME_KIND_SHIFT) | ((u64)(st->exec_id & 0xfffff) << FRAME_FILE_SHIFT) |
			      (off & FRAME_OFF_MASK));
	switch (find_rule(st, off, &rule)) {
	case ROW_NONE:
		return step_guess(c);
	case ROW_ERROR:
		return 1;
	}
	return step_frame(c, rule, pc);
}

/* Unwinds the user stack of the current task; returns why it ended. */
static __always_inline int unwind_user(struct perf_context *ctx, struct scratch *s, struct task_struct *task,
				       struct process *proc, u64 now)
{
	struct unwind_state *st = &s->st;
	struct mm_struct *mm = task->mm;

	if (!mm || (task->flags & PF_KTHREAD))
		return END_NO_USER;
	if (proc && !proc->mm) { /* read from /proc: it is valid from now on as it is */
		proc->mm = (u64)mm;
		proc->exec_vm = mm->exec_vm;
	}
	if (!proc || proc->mm != (u64)mm) {
		request_refresh(st->tgid, now);
		return END_PROCESS_UNKNOWN;
	}
	if (proc->exec_vm != mm->exec_vm)
		request_refresh(st->tgid, now);

	int err = load_user_regs(st, ctx, task);
	if (err)
		return err;
	struct loop_context c = {.st = st, .rec = &s->rec, .proc = proc};
	st->end = END_COMPLETE;
	bpf_loop(MAX_USER_FRAMES + 1, unwind_step, &c, 0);
	return st->end;
}

static long hash_kernel_frame(u32 i, struct loop_context *c)
{
	u64 word = c->rec->frames[i & (FRAME_SLOTS - 1)];
	hash_word(c->st, word);
	return 0;
}

static __always_inline void count_end(u32 end)
{
	switch (end) {
	case END_COMPLETE:
		return count(CTR_STACKS_COMPLETE);
	case END_NO_USER:
		return;
	case END_PROCESS_UNKNOWN:
		return count(CTR_ERR_PROCESS_UNKNOWN);
	case END_COMPAT:
		return count(CTR_ERR_COMPAT);
	case END_NO_REGS:
		return count(CTR_ERR_NO_REGS);
	case END_PC_UNMAPPED:
		return count(CTR_ERR_PC_UNMAPPED);
	case END_TABLE_MISS:
		return count(CTR_ERR_TABLE_MISS);
	case END_TABLE_CORRUPT:
		return count(CTR_ERR_TABLE_CORRUPT);
	case END_STACK_READ:
		return count(CTR_ERR_STACK_READ);
	case END_REGISTER:
		return count(CTR_ERR_REGISTER);
	case END_FRAME_POINTER:
		return count(CTR_ERR_FRAME_POINTER);
	case END_NO_PROGRESS:
		return count(CTR_ERR_NO_PROGRESS);
	case END_DEPTH:
		return count(CTR_ERR_DEPTH);
	}
}

/* Hands the record to user space, by its hash alone when that is enough. */
static __always_inline void send_record(struct sample_record *rec)
{
	struct stack_key key = {.hi = rec->hdr.hash_hi, .lo = rec->hdr.hash_lo};
	u64 size = sizeof(rec->hdr);

	rec->hdr.compact = bpf_map_lookup_elem(&confirmed, &key) != 0;
	if (!rec->hdr.compact)
		size += ((u64)rec->hdr.kernel_frames + rec->hdr.user_frames) * 8;
	asm volatile("" : "+r"(size));
	if (size > sizeof(*rec))
		return;
	u64 flags = bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	if (bpf_ringbuf_output(&samples, rec, size, flags))
		count(CTR_DROP_RING_FULL);
	else
		count(rec->hdr.compact ? CTR_SAMPLES_SENT_COMPACT : CTR_SAMPLES_SENT_FULL);
}

/* Takes one sample of the current task. */
static __always_inline int take_sample(struct perf_context *ctx, u8 type, u64 value)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32, zero = 0;

	count(CTR_SAMPLES);
	if (!tgid) {
		count(CTR_SAMPLES_IDLE);
		return 0;
	}
	struct process *proc = bpf_map_lookup_elem(&processes, &tgid);
	u64 cgroup = bpf_get_current_cgroup_id();
	if ((wanted & WANT_FILTERS) && !is_wanted(tgid, proc, cgroup)) {
		count(CTR_SAMPLES_FILTERED);
		return 0;
	}
	struct scratch *s = bpf_map_lookup_elem(&scratch_map, &zero);
	if (!s)
		return 0;

	struct task_struct *task = bpf_get_current_task_btf();
	struct sample_header *h = &s->rec.hdr;
	struct unwind_state *st = &s->st;

	h->time = bpf_ktime_get_boot_ns();
	h->cgroup_id = cgroup;
	h->start_time = task->group_leader->start_boottime;
	h->value = value;
	h->tgid = tgid;
	h->tid = (u32)id;
	h->ppid = task->real_parent->tgid;
	h->main_exec = proc ? proc->main_exec : EXEC_NONE;
	h->cpu = bpf_get_smp_processor_id();
	h->type = type;
	bpf_get_current_comm(h->comm, sizeof(h->comm));

	st->hash_hi = hash_seed_hi;
	st->hash_lo = hash_seed_lo;
	st->map_start = st->map_end = 0;
	st->window_base = 0;
	st->tgid = tgid;
	st->frames = 0;
	st->heuristic = 0;

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

	h->end = unwind_user(ctx, s, task, proc, h->time);
	h->kernel_frames = kernel;
	h->user_frames = st->frames;
	/* How a stack ends and how it divides are part of what it is. */
	hash_word(st, ((u64)kernel << 32) | h->end);
	h->hash_hi = st->hash_hi;
	h->hash_lo = st->hash_lo;
	send_record(&s->rec);

	count_end(h->end);
	count_n(CTR_FRAMES_USER, st->frames);
	count_n(CTR_FRAMES_KERNEL, kernel);
	return 0;
}

#endif

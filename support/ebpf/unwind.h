/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_UNWIND_H
#define STROBE_UNWIND_H

/*
 * What the sampler and the programs of the runtimes share: the step over a
 * native frame, the hand-over from program to program, and the end of a sample.
 */

/* Wake user space when this many bytes wait in the ring. */
const volatile u32 wake_bytes = 1 << 18;

/* Most steps of one program: every frame, and what is skipped between frames. */
#define MAX_STEPS (4 * MAX_USER_FRAMES)
/* Most passages from program to program in a stack; the kernel allows 33. */
#define MAX_SWITCHES 28

/* Least and most time between two requests for the runtimes of a process, ns. */
#define RUNTIME_REQUEST_FIRST 100000000ULL
#define RUNTIME_REQUEST_SHIFT 8

/* Least time between two requests to reread a process's mappings, ns: when they have
 * changed, and when code runs where none is known. The latter may be nobody's fault. */
#define REFRESH_INTERVAL 50000000ULL
#define SUSPECT_INTERVAL 1000000000ULL
#define REFRESH_CHANGED	 0
#define REFRESH_SUSPECT	 1

static __noinline void request_refresh(u32 tgid, struct mm_struct *mm, u64 now, u32 why)
{
	u64 *last = bpf_map_lookup_elem(&refreshed, &tgid);
	if (last && now - *last < (why == REFRESH_SUSPECT ? SUSPECT_INTERVAL : REFRESH_INTERVAL))
		return;
	bpf_map_update_elem(&refreshed, &tgid, &now, BPF_ANY);
	count(CTR_REFRESH_REQUESTS);
	struct event e = {.type = EVENT_REFRESH, .tgid = tgid, .page = why, .start = (u64)mm};
	send_event(&e);
}

/*
 * Code ran where no mapping is known: the record is not that of the process, although it
 * seems to be. As many pages may have been unmapped as were mapped, or code is in pages that
 * can be written, which the kernel does not count. A record without room is as good as it gets.
 */
static __noinline void suspect_mappings(u32 tgid, u64 now)
{
	struct process *p = bpf_map_lookup_elem(&processes, &tgid);

	if (p && p->chunks < MAX_CHUNKS && p->mappings <= p->chunks * CHUNK_MAPPINGS)
		request_refresh(tgid, bpf_get_current_task_btf()->mm, now, REFRESH_SUSPECT);
}

/* Asks user space what the process runs on: once per sample, less and less often. */
static __always_inline void request_runtime(struct unwind_state *st)
{
	u32 tgid = st->tgid;
	u64 now = bpf_ktime_get_boot_ns();

	if (st->asked & 1)
		return;
	st->asked |= 1;
	struct runtime_request fresh = {}, *last = bpf_map_lookup_elem(&runtime_requests, &tgid);
	if (last) {
		if (now < last->next)
			return;
		fresh.tries = last->tries;
	}
	fresh.next = now + (RUNTIME_REQUEST_FIRST << (fresh.tries & 15));
	if (fresh.tries < RUNTIME_REQUEST_SHIFT)
		fresh.tries++;
	bpf_map_update_elem(&runtime_requests, &tgid, &fresh, BPF_ANY);
	count(CTR_RUNTIME_REQUESTS);
	struct event e = {.type = EVENT_RUNTIME, .tgid = tgid};
	send_event(&e);
}

/*
 * What a step does is a function that is not static: the verifier looks at such a one once
 * and by itself, knows nothing of what it is given, and takes any number to be returned.
 * The body of the kernel's loop itself is dear: from Linux 6.19 on the verifier gives up
 * a path there only for one before in which every number was as free as in this one, and
 * follows tens of times more of them, or more than it may. So nothing but a call is
 * left in it. Weak, so that the compiler does not use what it sees the function return.
 */
#define STEP_FUNCTION __attribute__((noinline, weak)) int

/* What the kernel's loop hands to every step. */
struct steps {
	struct scratch *s;
	struct process *proc;
};

/* 1 ends the loop. */
static __always_inline long step_result(int r)
{
	return r != 0;
}

static __always_inline void push_anonymous(struct loop_context *c, u64 pc)
{
	push_frame(c, ((u64)FRAME_ANON << FRAME_KIND_SHIFT) | (pc & FRAME_ADDR_MASK));
	hash_word(c->st, c->st->process_hash); /* means something in this process only */
}

/* Whether the current mapping is code that was made at run time: in no file, or
 * in a file that is no executable. */
static __always_inline bool in_made_code(struct unwind_state *st)
{
	return st->exec_id == EXEC_NONE || (st->exec.flags & EXEC_MADE);
}

/* A native frame whose mapping is the current one: names it and steps to its
 * caller. Returns 1 at the end of the stack, with st->end set. */
static __always_inline long native_frame(struct loop_context *c, u64 pc, u64 lookup)
{
	struct unwind_state *st = c->st;
	u32 rule;

	st->heuristic = 0;
	if (in_made_code(st)) {
		push_anonymous(c, lookup);
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

/* An address in no mapping: the end of the stack. */
static __always_inline long unmapped_frame(struct loop_context *c, u64 lookup)
{
	struct unwind_state *st = c->st;

	if (st->heuristic) {
		st->end = END_FRAME_POINTER;
		return 1;
	}
	push_anonymous(c, lookup);
	st->end = END_PC_UNMAPPED;
	return 1;
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
	case END_RUNTIME:
		return count(CTR_ERR_RUNTIME);
	case END_OUTSIDE:
		return count(CTR_ERR_OUTSIDE);
	}
}

/* The names of a runtime's frames are in the memory of the process, which may end
 * the next moment: a stack with new ones is read at once, but no more often than
 * this per CPU, ns. */
#define NAMES_INTERVAL 5000000ULL

/* Flags of an output to the ring of samples: wakes user space when much waits. */
static __always_inline u64 output_flags(void)
{
	return bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Hands the record to user space, by its hash alone when that is enough. */
static __always_inline void send_record(struct unwind_state *st, struct sample_record *rec)
{
	struct stack_key key = {.hi = rec->hdr.hash_hi, .lo = rec->hdr.hash_lo};
	u64 size = sizeof(rec->hdr);

	rec->hdr.compact = bpf_map_lookup_elem(&confirmed, &key) != 0;
	if (!rec->hdr.compact)
		size += ((u64)rec->hdr.kernel_frames + rec->hdr.user_words) * 8;
	asm volatile("" : "+r"(size));
	if (size > sizeof(*rec))
		return;
	u64 flags = output_flags();
	if (!rec->hdr.compact && rec->hdr.runtime != RUNTIME_NONE && rec->hdr.runtime != RUNTIME_GO &&
	    rec->hdr.time - st->last_wake > NAMES_INTERVAL) {
		st->last_wake = rec->hdr.time;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	if (bpf_ringbuf_output(&samples, rec, size, flags))
		count(CTR_DROP_RING_FULL);
	else
		count(rec->hdr.compact ? CTR_SAMPLES_SENT_COMPACT : CTR_SAMPLES_SENT_FULL);
}

/* The last of a sample, in whichever program its stack ended. */
static __always_inline void finish_sample(struct scratch *s)
{
	struct unwind_state *st = &s->st;
	struct sample_header *h = &s->rec.hdr;

	h->end = st->end;
	h->user_words = st->words;
	if (st->end == END_PC_UNMAPPED && st->frames == 1)
		suspect_mappings(st->tgid, h->time);
	/* How a stack ends and how it divides are part of what it is. */
	hash_word(st, ((u64)h->kernel_frames << 32) | h->end);
	h->hash_hi = st->hash_hi;
	h->hash_lo = st->hash_lo;
	send_record(st, &s->rec);

	count_end(h->end);
	count_n(CTR_FRAMES_USER, st->frames);
	count_n(CTR_FRAMES_KERNEL, h->kernel_frames);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_RUNTIME_H
#define STROBE_RUNTIME_H

/*
 * The skeleton of a runtime's program. A process that runs on Python, say, is
 * unwound by python.bpf.c alone from its first user frame to its last: that
 * program steps over native frames as the sampler does, and adds Python's where
 * they belong. So a mix of both costs no tail calls and has no limit but the
 * depth. Only a process with two runtimes passes from program to program.
 *
 * A runtime defines three functions and hands them to RUNTIME_PROGRAM:
 *
 * interpreter(c, tag): the frame lies in a range of the runtime's own executable
 *   that user space has marked (struct runtime_executable), the interpreter's
 *   loop for example. It usually finds its newest frame, sets st->mode so that
 *   the next steps go to frames(), and returns STEP_NATIVE.
 * code(c, pc): the frame lies in code that was made at run time; or its mapping
 *   is not known. A compiler's frame is pushed and stepped over here.
 * frames(c): called instead of everything else while st->mode is not 0. Pushes
 *   one frame of the runtime, or none, and sets st->mode to 0 after the last.
 *
 * All of them may return STEP_NATIVE (not mine, or: go on natively), STEP_AGAIN
 * (done, take the next step), STEP_END (st->end is set, stop). frames() must not
 * return STEP_NATIVE. The order is leaf first: a native frame of the
 * interpreter's loop comes before the frames that it runs.
 *
 * A runtime without frames of its own, which adds something else to a sample, uses
 * RUNTIME_PROGRAM_BEGIN, whose function begin(c) is called once per sample.
 *
 * Every step does a bounded amount of work, as the verifier sees to; what walks a
 * list does one element per step, so that a list without end costs MAX_STEPS.
 * Memory of the process is not to be trusted: any read may fail, any value may be
 * anything.
 */

#define STEP_AGAIN  STEP_OK
#define STEP_END    STEP_STOP
#define STEP_NATIVE 2

/* Frames of the runtime; see FRAME_RUNTIME. What the words hold must change when
 * the frame's names do: an address alone may come to mean another function, and
 * the hash of a stack that user space has confirmed is all that it sees. */
static __always_inline u64 runtime_word(struct unwind_state *st, u32 words, u32 subtype, u64 addr)
{
	return ((u64)FRAME_RUNTIME << FRAME_KIND_SHIFT) | ((u64)(st->runtime & 31) << FRAME_RUNTIME_SHIFT) |
	       ((u64)words << FRAME_WORDS_SHIFT) | ((u64)(subtype & 31) << FRAME_SUBTYPE_SHIFT) |
	       (addr & FRAME_ADDR_MASK);
}

static __always_inline void count_runtime_frame(struct unwind_state *st)
{
	u32 runtime = st->runtime;
	u64 *v = bpf_map_lookup_elem(&runtime_frames, &runtime);
	if (v)
		*v += 1;
	hash_word(st, st->process_hash);
}

static __always_inline void push_runtime1(struct loop_context *c, u32 subtype, u64 addr, u64 w1)
{
	push_word(c, runtime_word(c->st, 1, subtype, addr));
	push_word(c, w1);
	c->st->frames++;
	count_runtime_frame(c->st);
}

static __always_inline void push_runtime2(struct loop_context *c, u32 subtype, u64 addr, u64 w1, u64 w2)
{
	push_word(c, runtime_word(c->st, 2, subtype, addr));
	push_word(c, w1);
	push_word(c, w2);
	c->st->frames++;
	count_runtime_frame(c->st);
}

/* Marks a place where frames of the runtime are missing. */
static __always_inline void push_runtime_error(struct loop_context *c, u32 error)
{
	struct unwind_state *st = c->st;
	u32 i = (u32)st->runtime * MAX_RUNTIME_ERRORS + (error & (MAX_RUNTIME_ERRORS - 1));
	u64 *v = bpf_map_lookup_elem(&runtime_errors, &i);

	if (v)
		*v += 1;
	push_frame(c, ((u64)FRAME_RUNTIME_ERROR << FRAME_KIND_SHIFT) |
			      ((u64)(st->runtime & 31) << FRAME_RUNTIME_SHIFT) | (error & 0xffff));
}

/* Ends the stack because it cannot be followed through the runtime's frames. */
static __always_inline int runtime_end(struct loop_context *c, u32 error)
{
	push_runtime_error(c, error);
	c->st->end = END_RUNTIME;
	return STEP_END;
}

/* The key of the process's record in the runtime's own map of processes. */
static __always_inline u32 runtime_record(struct unwind_state *st)
{
	return st->slot[0].runtime == st->runtime ? st->slot[0].record : st->slot[1].record;
}

static __always_inline bool read_user(void *to, u32 size, u64 from)
{
	return !bpf_probe_read_user(to, size, (void *)from);
}

static __always_inline bool read_u64(u64 from, u64 *to)
{
	return !bpf_probe_read_user(to, 8, (void *)from);
}

static __always_inline bool read_u32(u64 from, u32 *to)
{
	return !bpf_probe_read_user(to, 4, (void *)from);
}

/* Address of the thread's control block, from which thread-local storage is found. */
static __always_inline u64 thread_pointer(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
#if defined(__TARGET_ARCH_x86)
	return task->thread.fsbase;
#else
	return task->thread.uw.tp_value;
#endif
}

/* Where the C library keeps the values of pthread_setspecific(); from user space. */
struct tsd_layout {
	s16 offset;    /* of the first value, or of the pointer to the values, from the thread pointer */
	u8 stride;     /* bytes from a value to the next */
	u8 indirect;   /* the offset is that of a pointer */
	u32 keys;      /* keys from here on are kept elsewhere and are not read */
};

static __always_inline bool read_tsd(const struct tsd_layout *l, u32 key, u64 *value)
{
	u64 at = thread_pointer() + (s64)l->offset;

	if (key >= l->keys)
		return false;
	if (l->indirect && !read_u64(at, &at))
		return false;
	return read_u64(at + (u64)key * l->stride, value);
}

/* The block of thread-local variables of a module, through the thread's vector of
 * modules. Offsets are the C library's, from user space. */
struct dtv_layout {
	s16 offset;  /* of the pointer to the vector, from the thread pointer */
	u8 stride;   /* bytes from an element to the next; element 0 is a count */
	u8 reserved;
};

static __always_inline bool read_dtv(const struct dtv_layout *l, u64 module, u64 *block)
{
	u64 dtv;

	if (module > 4096 || !read_u64(thread_pointer() + (s64)l->offset, &dtv) ||
	    !read_u64(dtv + module * l->stride, block))
		return false;
	return *block != ~0ULL; /* not allocated yet */
}

/* The part of a marked executable that a place lies in. */
static __always_inline bool find_range(struct unwind_state *st, u64 off, u32 *tag)
{
	u32 id = st->exec_id;
	struct runtime_executable *x = bpf_map_lookup_elem(&runtime_executables, &id);

	if (!x || x->runtime != st->runtime)
		return false;
#pragma unroll
	for (int i = 0; i < MAX_CODE_RANGES; i++) {
		if (i < x->count && off >= x->range[i].start && off < x->range[i].end) {
			*tag = x->range[i].tag;
			return true;
		}
	}
	return false;
}

/* Passes a frame that may be another runtime's on to that one's program. */
static __always_inline bool switch_runtime(struct unwind_state *st)
{
	u32 other = st->slot[0].runtime == st->runtime ? st->slot[1].runtime : st->slot[0].runtime;

	if (other == RUNTIME_NONE || other == st->runtime || st->switches >= MAX_SWITCHES)
		return false;
	if (in_made_code(st)) {
		/* Both may refuse the same frame: who was asked second takes it natively. */
		if (st->asked & 2)
			return false;
		st->asked |= 2;
	} else {
		u32 id = st->exec_id;
		struct runtime_executable *x = bpf_map_lookup_elem(&runtime_executables, &id);
		if (!x || x->runtime != other)
			return false;
	}
	st->runtime = other;
	st->end = END_SWITCH;
	return true;
}

/* The mode to go on in when the native stack has ended, for a runtime that knows
 * more of its frames than native ones led to; st->end says how it ended. */
#ifndef RUNTIME_LEFT
#define RUNTIME_LEFT(st) 0
#endif

static __always_inline long end_natively(struct unwind_state *st)
{
	/* Frames of the runtime may be left over from before this one. */
	st->ended = 1;
	if (!st->mode)
		st->mode = RUNTIME_LEFT(st);
	return st->mode ? 0 : 1;
}

#define RUNTIME_NO_BEGIN(c) ((void)(c))
#define RUNTIME_PROGRAM(id, name, on_interpreter, on_code, on_frames)                                                            \
	RUNTIME_PROGRAM_BEGIN(id, name, RUNTIME_NO_BEGIN, on_interpreter, on_code, on_frames)

#define RUNTIME_PROGRAM_BEGIN(id, name, on_begin, on_interpreter, on_code, on_frames)					\
	STEP_FUNCTION name##_one(struct scratch *s, struct process *proc)						\
	{														\
		if (!s || !proc)											\
			return 1;											\
		struct loop_context context = {.st = &s->st, .rec = &s->rec, .proc = proc}, *c = &context;		\
		struct unwind_state *st = c->st;									\
		u64 pc = st->pc;											\
		u64 lookup = st->exact ? pc : pc - 1;									\
		int r = STEP_NATIVE;											\
		u32 tag = 0;												\
															\
		if (st->frames >= MAX_USER_FRAMES) {									\
			st->end = END_DEPTH;										\
			return 1;											\
		}													\
		if (st->mode)												\
			return on_frames(c) == STEP_END;								\
		if (st->ended)												\
			return 1;											\
		bool mapped = find_mapping(c, lookup);									\
		if (!mapped) {												\
			st->exec_id = EXEC_NONE;									\
			st->map_start = st->map_end = 0;								\
		}													\
		if (in_made_code(st))											\
			r = on_code(c, lookup);										\
		else if ((st->exec.flags & EXEC_RUNTIME) && find_range(st, lookup + st->map_bias, &tag))		\
			r = on_interpreter(c, tag);									\
		if (r == STEP_END)											\
			return end_natively(st);									\
		if (r == STEP_AGAIN) {											\
			st->asked &= 1;											\
			return 0;											\
		}													\
		if (in_made_code(st)) {											\
			if (switch_runtime(st))										\
				return 1;										\
			request_runtime(st);										\
		} else if ((st->exec.flags & EXEC_RUNTIME) && switch_runtime(st)) {					\
			return 1;											\
		}													\
		st->asked &= 1;												\
		if ((mapped ? native_frame(c, pc, lookup) : unmapped_frame(c, lookup)))					\
			return end_natively(st);									\
		return 0;												\
	}														\
															\
	static long name##_step(u32 i, struct steps *all)								\
	{														\
		return step_result(name##_one(all->s, all->proc));							\
	}														\
															\
	SEC("perf_event")												\
	int unwind_##name(struct perf_context *ctx)									\
	{														\
		u32 zero = 0;												\
		struct scratch *s = bpf_map_lookup_elem(&scratch_map, &zero);						\
		if (!s)													\
			return 0;											\
		u32 tgid = s->st.tgid;											\
		struct process *proc = bpf_map_lookup_elem(&processes, &tgid);						\
		if (proc) {												\
			struct loop_context c = {.st = &s->st, .rec = &s->rec, .proc = proc};				\
			struct steps all = {.s = s, .proc = proc};							\
			if (!s->st.switches)										\
				on_begin(&c);										\
			bpf_loop(MAX_STEPS, name##_step, &all, 0);							\
		} else {												\
			s->st.end = END_PROCESS_UNKNOWN;								\
		}													\
		if (s->st.end == END_SWITCH) {										\
			s->st.end = END_DEPTH;										\
			s->st.switches++;										\
			count(CTR_RUNTIME_SWITCHES);									\
			bpf_tail_call(ctx, &runtime_programs, s->st.runtime);						\
			s->st.end = END_RUNTIME;									\
		}													\
		finish_sample(s);											\
		return 0;												\
	}														\
	char LICENSE[] SEC("license") = "Dual BSD/GPL"

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "all.h"
#include "runtime.h"

/*
 * Ruby. A thread has an execution context: a stack of control frames, the newest
 * of which it points to, each made of the fixed fields of struct
 * rb_control_frame_struct, and all that one call of the interpreter's C function
 * runs ends with a frame whose FINISH flag is set. So each frame of that C
 * function on the native stack takes the control frames up to the next FINISH.
 * A control frame of a method that is written in C lies between them; it follows
 * the native frames of the C function, before the one that called that, or, where
 * it is not known which that is, before the next one of the interpreter. Code of the compiler (YJIT and its successors) has no native frame
 * per method, it is one frame that the interpreter called.
 */

/* Where the thread's execution context is found. */
#define EC_STATIC 0 /* a thread-local variable at a constant offset from the thread pointer */
#define EC_DTV	  1 /* in the block of a module */
#define EC_TSD	  2 /* through the thread's structure, a value of pthread_setspecific() */
#define EC_GLOBAL 3 /* a variable for the thread that holds the lock */

struct ruby_process {
	s64 ec;	    /* offset of the variable; EC_GLOBAL: its address; EC_TSD: the key */
	u64 module; /* EC_DTV */
	u64 text_start, text_end; /* code of the library */
	u64 core_start, core_end; /* code of the interpreter's loop, 0 if it is part of vm_exec() */
	struct tsd_layout tsd;
	struct dtv_layout dtv;
	u32 kind;
	u16 thread_ec;	/* offset in the thread's structure: EC_TSD */
	u16 machine;	/* offset of the native stack's bounds in the context: EC_GLOBAL */
	u16 frame_size; /* of a control frame */
	u16 location;	/* offset of the names in an instruction sequence's body */
	u8 wide_line;	/* the first line is an object, not an int */
	u8 has_outer;	/* the C function around the loop is known */
	u8 has_calls;	/* the calls of methods in C are, and are in neither of the two */
	u8 reserved[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct ruby_process);
} ruby_processes SEC(".maps");

/* Tags of ranges. */
#define TAG_OUTER 1 /* vm_exec(): once per call of the interpreter */
#define TAG_CORE  2 /* vm_exec_core(): its loop; between vm_exec() and what it calls */
#define TAG_CALL  3 /* where a method in C is called */

/* st->mode */
#define MODE_C	  1 /* frames of C functions */
#define MODE_RUBY 2 /* all frames up to one with FINISH */
#define MODE_CALL 3 /* all frames up to one of a method in C */
#define MODE_LAST 4 /* as MODE_CALL, but no more frames of Ruby code */

/* Subtypes of frames. */
#define FRAME_ISEQ  1
#define FRAME_CFUNC 2

/* Words of st->rt. */
#define RT_FRAME 0 /* the control frame that is next */
#define RT_END	 1 /* where the control frames end */
#define RT_FLAGS 2
#define RT_OUTER 3 /* number of frames when those of the last call of the interpreter were done */
#define RT_WORK	 4

#define F_READY	  1
#define F_FAILED  2
#define F_C_DONE  4 /* the control frames of C functions before the current native frame are pushed */
/* Those of the current call of the interpreter are, for compiled code or for its
 * loop; what follows up to vm_exec() has none. */
#define F_BY_CODE 8
#define F_BY_CORE 16
#define F_TAKEN	  (F_BY_CODE | F_BY_CORE)
#define F_GONE	  32 /* the current call of the interpreter has popped its control frames */

/* struct rb_control_frame_struct */
#define CFP_PC	 0
#define CFP_ISEQ 2
#define CFP_EP	 4
#define CFP_WORDS 5

/* What lies at and below the environment pointer; vm_core.h. */
#define ENV_ME	    0
#define ENV_PARENT  1
#define ENV_FLAGS   2
#define ENV_WORDS   3
#define ENV_LOCAL   0x2ULL
#define FLAG_FINISH  0x20ULL
#define FLAG_BMETHOD 0x40ULL
#define FLAG_CFRAME  0x80ULL
#define MAGIC_MASK  0x7fff0001ULL
#define MAGIC_CFUNC 0x55550001ULL

/* rb_iseq_t, rb_method_entry_t */
#define ISEQ_BODY 16
#define ME_WORDS  5

/* Most words of the stack in which a compiled frame's return address is looked for. */
#define JIT_SCAN 16
/* Most blocks in blocks up to the method. */
#define MAX_PARENTS 4

/* rb_execution_context_t */
struct ec_head {
	u64 stack, size, frame;
};

static __always_inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 29);
}

static __always_inline bool find_ec(struct unwind_state *st, struct ruby_process *p, u64 *ec)
{
	u64 at;

	switch (p->kind) {
	case EC_STATIC:
		return read_u64(thread_pointer() + p->ec, ec);
	case EC_DTV:
		return read_dtv(&p->dtv, p->module, &at) && read_u64(at + p->ec, ec);
	case EC_TSD:
		return read_tsd(&p->tsd, p->ec, &at) && at && read_u64(at + p->thread_ec, ec);
	default:
		if (!read_u64(p->ec, ec) || !*ec)
			return false;
	}
	/* Whoever runs without the lock finds another thread's: does the stack fit? */
	u64 bounds[3]; /* start (the upper end), end, greatest size */
	if (!read_user(bounds, sizeof(bounds), *ec + p->machine))
		return false;
	return st->sp < bounds[0] && bounds[0] - st->sp <= bounds[2] + HOST_PAGE;
}

/* Finds the control frames of the thread. A function that is not static is
 * verified once, by itself; so it finds its data by itself too. */
__noinline u32 find_frames(u32 key)
{
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch_map, &zero);
	struct ruby_process *p = bpf_map_lookup_elem(&ruby_processes, &key);
	struct ec_head head;
	u64 ec;

	if (!p || !s)
		return RTERR_NO_RECORD;
	struct unwind_state *st = &s->st;
	if (!find_ec(st, p, &ec) || !ec)
		return RTERR_THREAD;
	if (!read_user(&head, sizeof(head), ec))
		return RTERR_READ;
	u64 end = head.stack + head.size * 8;
	if (head.size > (1ULL << 28) || head.frame < head.stack || head.frame > end || (head.frame & 7))
		return RTERR_BAD_FRAME;
	st->rt[RT_FRAME] = head.frame;
	st->rt[RT_END] = end;
	st->rt[RT_OUTER] = ~0ULL;
	return RTERR_NONE;
}

static __always_inline struct ruby_process *record(struct unwind_state *st)
{
	u32 key = runtime_record(st);

	return bpf_map_lookup_elem(&ruby_processes, &key);
}

/* The process's record. The first call finds the control frames of the thread;
 * NULL if there are none to be had. */
static __always_inline struct ruby_process *ready(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	struct ruby_process *p = record(st);

	if (!st->rt[RT_FLAGS]) {
		u32 error = p ? find_frames(runtime_record(st)) : RTERR_NO_RECORD;
		st->rt[RT_FLAGS] = error ? F_FAILED : F_READY;
		if (error)
			push_runtime_error(c, error);
	}
	return st->rt[RT_FLAGS] & F_READY ? p : 0;
}

static __noinline int ruby_interpreter(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;
	struct ruby_process *p = ready(c);

	if (!p)
		return STEP_NATIVE;
	u64 flags = st->rt[RT_FLAGS];
	if (tag == TAG_CALL) {
		if (!(flags & F_C_DONE)) {
			st->rt[RT_FLAGS] = flags | F_C_DONE;
			st->mode = MODE_CALL;
			return STEP_AGAIN;
		}
		st->rt[RT_FLAGS] = flags & ~F_C_DONE;
		return STEP_NATIVE;
	}
	bool same; /* call of the interpreter as the last native frame */
	if (tag == TAG_CORE)
		same = flags & F_BY_CODE;
	else /* vm_exec() may be in parts that call each other */
		same = (flags & F_TAKEN) || (p->core_end && st->frames == st->rt[RT_OUTER] && !(flags & F_C_DONE));
	if (same) {
		flags &= ~F_TAKEN;
		if (tag == TAG_CORE && p->has_outer)
			flags |= F_BY_CORE;
		st->rt[RT_FLAGS] = flags;
		st->rt[RT_OUTER] = st->frames + 1;
		return STEP_NATIVE;
	}
	if (!(flags & F_C_DONE)) {
		st->rt[RT_FLAGS] = flags | F_C_DONE;
		st->mode = MODE_C;
		return STEP_AGAIN;
	}
	st->mode = flags & F_GONE ? 0 : MODE_RUBY;
	st->rt[RT_OUTER] = st->frames + 1;
	flags &= ~(F_C_DONE | F_TAKEN | F_GONE);
	if (tag == TAG_CORE && p->has_outer)
		flags |= F_BY_CORE;
	st->rt[RT_FLAGS] = flags;
	return STEP_NATIVE;
}

struct parents {
	u64 at, me;
};

static long next_parent(u32 i, struct parents *x)
{
	u64 e[ENV_WORDS];

	if (!read_user(e, sizeof(e), (x->at & ~3ULL) - 16))
		return 1;
	x->at = e[ENV_PARENT];
	if (!(e[ENV_FLAGS] & ENV_LOCAL))
		return 0;
	x->me = e[ENV_ME];
	return 1;
}

/* The instruction sequence of a frame and, through the environments, the method
 * that it belongs to. Returns an error. */
static __always_inline u32 push_iseq(struct loop_context *c, struct ruby_process *p, u64 *f, u64 *env)
{
	u64 iseq = f[CFP_ISEQ], body, head[2], names[4], me = env[ENV_ME];

	if (!iseq || (iseq & 7) || !read_u64(iseq + ISEQ_BODY, &body) || !read_user(head, sizeof(head), body) ||
	    !read_user(names, sizeof(names), body + p->location))
		return RTERR_BAD_FRAME;
	if (!(env[ENV_FLAGS] & (ENV_LOCAL | FLAG_BMETHOD))) {
		struct parents x = {.at = env[ENV_PARENT]};
		bpf_loop(MAX_PARENTS, next_parent, &x, 0);
		me = x.me;
	}
	/* Names and first line; the sequence's kind and size. */
	u64 h = mix(mix(mix(head[0], names[0]), names[2]), p->wide_line ? names[3] : (u32)names[3]);
	u64 at = f[CFP_PC] - head[1];
	at = f[CFP_PC] && at < (1ULL << 26) ? at >> 3 : 0xffffff;
	push_runtime2(c, FRAME_ISEQ, iseq, at << 40 | h >> 24, (me & FRAME_ADDR_MASK) | h << 48);
	return RTERR_NONE;
}

static __always_inline u32 push_cfunc(struct loop_context *c, u64 me)
{
	u64 w[ME_WORDS]; /* flags, class, definition, called id, owner */

	if (!me || (me & 7) || !read_user(w, sizeof(w), me))
		return RTERR_BAD_FRAME;
	push_runtime1(c, FRAME_CFUNC, me, mix(mix(mix(1, w[2]), w[3]), w[4]));
	return RTERR_NONE;
}

static __noinline int ruby_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	struct ruby_process *p = record(st);
	u64 f[CFP_WORDS], env[ENV_WORDS], at = st->rt[RT_FRAME];
	u32 mode = st->mode, error = RTERR_NONE;

	st->mode = 0;
	if (!p || at >= st->rt[RT_END])
		return STEP_AGAIN;
	if (!read_user(f, sizeof(f), at) || (f[CFP_EP] & 7) || !read_user(env, sizeof(env), f[CFP_EP] - 16)) {
		st->rt[RT_FRAME] = st->rt[RT_END];
		push_runtime_error(c, RTERR_READ);
		return STEP_AGAIN;
	}
	u64 flags = env[ENV_FLAGS];
	bool in_c = flags & FLAG_CFRAME;
	bool cfunc = (flags & MAGIC_MASK) == MAGIC_CFUNC; /* others, of blocks for example, have no name */
	switch (mode) {
	case MODE_C:
		/* When the thread is in the interpreter itself, a method in C cannot
		 * be its newest frame, but the one that it is about to return to. */
		if (in_c && !st->frames && p->has_calls)
			st->rt[RT_FLAGS] |= F_GONE;
		if (!in_c || (st->rt[RT_FLAGS] & F_GONE))
			return STEP_AGAIN;
		st->mode = mode;
		break;
	case MODE_RUBY:
		if (!(flags & FLAG_FINISH))
			st->mode = mode;
		break;
	case MODE_CALL:
		/* Frames of Ruby code have been pushed and wait for the interpreter
		 * to be called, but no more than it runs in one call. */
		if (!cfunc)
			st->mode = in_c || !(flags & FLAG_FINISH) ? MODE_CALL : MODE_LAST;
		break;
	default:
		if (!in_c)
			return STEP_AGAIN;
		if (!cfunc)
			st->mode = mode;
	}
	st->rt[RT_FRAME] = at + p->frame_size;
	if (!in_c)
		error = push_iseq(c, p, f, env);
	else if (cfunc)
		error = push_cfunc(c, env[ENV_ME]);
	if (error)
		push_runtime_error(c, error);
	if (mode == MODE_RUBY)
		st->rt[RT_OUTER] = st->frames;
	return STEP_AGAIN;
}

#if defined(__TARGET_ARCH_x86)
/* Whether a call through a register or through memory ends at an address. */
__noinline bool after_indirect_call(u64 ra)
{
	u8 b[8];

	if (!read_user(b, sizeof(b), ra - 8))
		return false;
	return (b[6] == 0xff && (b[7] & 0xf8) == 0xd0) ||			   /* call *%reg */
	       (b[6] == 0xff && (b[7] & 0xf8) == 0x10) ||			   /* call *(%reg) */
	       (b[5] == 0xff && ((b[6] & 0xf8) == 0x50 || b[6] == 0x14)) ||	   /* disp8, or index */
	       (b[4] == 0xff && b[5] == 0x54) ||				   /* disp8 and index */
	       (b[2] == 0xff && ((b[3] & 0xf8) == 0x90 || b[3] == 0x15)) ||	   /* disp32, %rip */
	       (b[1] == 0xff && (b[2] == 0x94 || b[2] == 0x14));		   /* disp32 and index */
}

struct scan {
	struct unwind_state *st;
	u64 start, size; /* of the library's code */
	u64 found, at;
};

static long scan_word(u32 i, struct scan *x)
{
	u64 word = x->st->rt[RT_WORK + (i & 15)];

	if (word - x->start >= x->size || !after_indirect_call(word))
		return 0;
	x->found = word;
	x->at = i;
	return 1;
}

/* The code mostly has no frame pointer, but only a few words of its own on the
 * native stack. */
static __always_inline u64 scan_stack(struct unwind_state *st, u64 start, u64 size)
{
	struct scan x = {.st = st, .start = start, .size = size};

	if ((st->sp & 7) || !read_user(&st->rt[RT_WORK], JIT_SCAN * 8, st->sp))
		return 0;
	bpf_loop(JIT_SCAN, scan_word, &x, 0);
	if (x.found)
		finish_step(st, st->sp + x.at * 8 + 8, x.found, st->fp);
	return x.found;
}
#else
__noinline bool after_indirect_call(u64 ra)
{
	u32 in;

	return read_user(&in, sizeof(in), ra - 4) && (in & 0xfffffc1f) == 0xd63f0000; /* blr */
}

static __always_inline u64 scan_stack(struct unwind_state *st, u64 start, u64 size)
{
	return 0; /* all compiled code has a frame pointer */
}
#endif

/* Steps from compiled code to what called it, which is the library's code or, with
 * newer compilers, compiled too. Returns the address there, 0 if it is not found. */
__noinline u64 leave_compiled(u64 start, u64 size)
{
	u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch_map, &zero);
	u64 pair[2]; /* the caller's frame pointer, the return address */

	if (!s)
		return 0;
	struct unwind_state *st = &s->st;
	if (!(st->fp & 7) && st->fp >= st->sp && st->fp - st->sp < HOST_PAGE && read_user(pair, sizeof(pair), st->fp)) {
		pair[1] &= FRAME_ADDR_MASK;
		if ((pair[1] >= st->map_start && pair[1] < st->map_end) ||
		    (pair[1] - start < size && after_indirect_call(pair[1]))) {
			finish_step(st, st->fp + 16, pair[1], pair[0]);
			return pair[1];
		}
	}
	return scan_stack(st, start, size);
}

static __noinline int ruby_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;

	if (st->exec_id != EXEC_NONE)
		return STEP_NATIVE;
	struct ruby_process *p = ready(c);
	if (!p)
		return STEP_NATIVE;
	u64 start = st->map_start, end = st->map_end;
	u64 ra = leave_compiled(p->text_start, p->text_end - p->text_start);
	if (!ra)
		return STEP_NATIVE;
	/* Newer compilers make a native frame per method. */
	if ((st->rt[RT_FLAGS] & F_BY_CODE) && st->frames == st->rt[RT_OUTER])
		return STEP_AGAIN;
	st->rt[RT_FLAGS] &= ~F_TAKEN;
	/* The caller is the interpreter's loop or the function around it. */
	if (p->has_outer || ra - p->core_start < p->core_end - p->core_start ||
	    (ra >= start && ra < end))
		st->rt[RT_FLAGS] |= F_BY_CODE;
	st->mode = MODE_RUBY;
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_RUBY, ruby, ruby_interpreter, ruby_code, ruby_frames);

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * PHP. The Zend engine keeps its calls in a linked list of zend_execute_data,
 * newest first, that starts in executor_globals. One native frame of execute_ex()
 * runs many of them: down to the first that is marked as called from C. So a
 * native frame of execute_ex() is followed by the calls up to that mark, and then
 * by the C code that called it. Calls of functions that are written in C stand
 * between their native frames and the frame of the loop that called them.
 *
 * Code of opcache's compiler runs inside of the native frame of execute_ex() as
 * its handlers do (the hybrid VM), or is called by it as a function (the others).
 */
#include "all.h"

static __always_inline u32 php_left(struct unwind_state *st);
#define RUNTIME_LEFT(st) php_left(st)

#include "runtime.h"

/* Parts of the executable; tags of its ranges. */
#define PHP_LOOP      1 /* execute_ex() */
#define PHP_CALL      2 /* zend_call_function() */
#define PHP_FIBER     3 /* the first function on a fiber's stack */
#define PHP_LEAF      4 /* assembly that leaves the stack as it is, and has no unwind table */

/* struct zend_execute_data, the same since PHP 7.1. */
#define EX_OPLINE   0
#define EX_RETURN   2
#define EX_FUNC	    3
#define EX_THIS	    4
#define EX_INFO	    5
#define EX_PREV	    6
#define EX_WORDS    7
/* Flags of a call, next to the type of This. */
#define CALL_CODE	(1U << 16)
#define CALL_TOP	(1U << 17)
#define CALL_CLOSURE	(1U << 22)
#define CALL_GENERATOR	(1U << 24)
#define TYPE_OBJECT	8
/* zend_op.lineno; zend_string.h and .len; zend_class_entry.name. */
#define OP_LINENO   24
#define STRING_HASH 8
#define CLASS_NAME  8
#define FUNCTION_INTERNAL 1

/* The registers in which the hybrid VM keeps the current call and its opline. */
#if defined(__TARGET_ARCH_x86)
#define REG_CALL   14
#define REG_OPLINE 15
#else
#define REG_CALL   27
#define REG_OPLINE 28
#endif

/* Kinds of frames. */
#define PHP_USER	0
#define PHP_INTERNAL	1
#define PHP_PARTS	2 /* pointers to the file's name, the function's name and the class */
#define PHP_NESTED	4 /* a flag: code of a file or text that was included or evaluated */
#define PHP_COMPILED	8 /* a flag: compiled code was running */

#define PHP_ZTS		1 /* the globals are thread-local */
#define PHP_HYBRID	2 /* compiled code has no frame of its own */
#define PHP_FRAME_POINTER 4 /* execute_ex() keeps a frame pointer */

struct php_process {
	u64 globals;	/* address of current_execute_data; with ZTS, its offset from what the thread points to */
	s64 tls;	/* ZTS: offset of the thread's pointer from the thread pointer */
	u64 text_start, text_end; /* of the executable */
	u64 loop_start, loop_end; /* execute_ex() */
	u64 loop_pc;	/* a place in it from which the frame has its full size */
	u64 jit_start, jit_end;
	u32 loop_return; /* where it then has its return address, from the stack pointer */
	u32 flags;
	/* Offsets in zend_op_array; line_start and line_end follow filename. */
	u16 filename;
	u16 opcodes;
	u16 last;
	/* Offsets in zend_generator, and in zend_fiber; 0: not there. */
	u16 generator_call;
	u16 generator_children;
	u16 generator_child;
	u16 fiber_caller;
	u16 fiber_frame; /* bytes of registers that a switch of fibers saves */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct php_process);
} php_processes SEC(".maps");

/* Modes. */
#define MODE_NATIVE   0
#define MODE_CALLS    1 /* push calls, up to and with one from C */
#define MODE_INTERNAL 2 /* push calls of C functions only */
#define MODE_ONE      3 /* push one */
#define MODE_REST     5 /* push all, as the native stack was lost */
#define MODE_DELEGATED 4 /* push those of generators that delegated to the last */

/* State between steps. */
#define RT_NEXT	   0 /* the newest call that has not been pushed */
#define RT_STARTED 1
#define RT_LOOKED  2 /* C functions above this frame of the loop have been pushed */
#define RT_CALLED  3 /* number of frames when the calls ended at one from C */
#define RT_OPLINE  4 /* from a register, for the newest call */
#define RT_FLAGS   5 /* of the next frame */
#define RT_LAYOUT  6 /* offsets in zend_op_array: filename, opcodes, last */
#define RT_GENERATORS 7 /* offsets in zend_generator */
#define RT_GENERATOR  8 /* of the last call that was pushed */
#define RT_OUTER   9 /* the generator at which delegation began, 0: none */

static __always_inline struct php_process *php_record(struct loop_context *c)
{
	u32 key = runtime_record(c->st);
	return bpf_map_lookup_elem(&php_processes, &key);
}

/* Finds the newest call of the thread, once. Returns an error. */
static __always_inline u32 php_start(struct loop_context *c, struct php_process *p)
{
	struct unwind_state *st = c->st;
	u64 at = p->globals, ex = 0;

	st->rt[RT_STARTED] = 1;
	st->rt[RT_LAYOUT] = (u64)p->filename | (u64)p->opcodes << 16 | (u64)p->last << 32;
	st->rt[RT_GENERATORS] =
		(u64)p->generator_call | (u64)p->generator_children << 16 | (u64)p->generator_child << 32;
	if (p->flags & PHP_ZTS) {
		if (!read_u64(thread_pointer() + p->tls, &at))
			return RTERR_THREAD;
		if (!at) /* a thread that PHP does not know */
			return 0;
		at += p->globals;
	}
	if (!read_u64(at, &ex))
		return RTERR_THREAD;
	st->rt[RT_NEXT] = ex;
	/* The loop keeps the call and what it executes in registers; functions that it
	 * calls preserve them. Without that they hold something else. */
	if ((p->flags & PHP_HYBRID) && st->gpr[REG_CALL] == ex)
		st->rt[RT_OPLINE] = st->gpr[REG_OPLINE];
	return 0;
}

#if defined(__TARGET_ARCH_x86)
/* What a frame of an executable is, in a word; see native_frame(). */
static __always_inline void push_file_frame(struct loop_context *c, u64 lookup)
{
	struct unwind_state *st = c->st;

	push_frame(c, ((u64)FRAME_FILE << FRAME_KIND_SHIFT) | ((u64)(st->exec_id & 0xfffff) << FRAME_FILE_SHIFT) |
			      ((lookup + st->map_bias) & FRAME_OFF_MASK));
}

/* A fiber has a stack of its own. At its end go on with the stack of who resumed
 * it: the call that did so has the fiber as its object. */
static __always_inline int php_fiber(struct loop_context *c, struct php_process *p)
{
	struct unwind_state *st = c->st;
	u64 at = st->rt[RT_NEXT], caller, handle, w[2], ex[EX_WORDS];
	bool found = false;

	if (!p->fiber_caller || !read_user(ex, sizeof(ex), at))
		return STEP_NATIVE;
	if ((u8)ex[EX_INFO] != TYPE_OBJECT) { /* a stand-in at the bottom of the fiber */
		at = ex[EX_PREV];
		if (!read_user(ex, sizeof(ex), at) || (u8)ex[EX_INFO] != TYPE_OBJECT)
			return STEP_NATIVE;
	}
	/* 8.1 was given two more members in its course. Where they are missing the
	 * place is reserved and holds 0. */
#pragma unroll
	for (int i = 0; i < 3 && !found; i++)
		found = read_u64(ex[EX_THIS] + p->fiber_caller + 8 * i, &caller) && read_u64(caller, &handle) &&
			read_user(w, 16, handle + p->fiber_frame - 16) && w[1] >= p->text_start && w[1] < p->text_end;
	if (!found)
		return STEP_NATIVE;
	push_file_frame(c, st->exact ? st->pc : st->pc - 1);
	st->rt[RT_NEXT] = at;
	st->sp = handle + p->fiber_frame;
	st->fp = w[0];
	st->pc = w[1];
	st->exact = 0;
	st->regs_valid = 0;
	st->heuristic = 0;
	return STEP_AGAIN;
}
static __always_inline int php_leaf(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 ra;

	if (!st->exact || !read_u64(st->sp, &ra))
		return STEP_NATIVE;
	push_file_frame(c, st->pc);
	st->sp += 8;
	st->pc = ra;
	st->exact = 0;
	st->regs_valid = 0;
	return STEP_AGAIN;
}
#else
static __always_inline int php_leaf(struct loop_context *c)
{
	return STEP_NATIVE;
}

static __always_inline int php_fiber(struct loop_context *c, struct php_process *p)
{
	return STEP_NATIVE;
}
#endif

/* The functions below that are not static are verified by themselves, once, which
 * takes a fraction of the work; they find their state in the map. */
#define LOAD_CONTEXT(c)                                                  \
	u32 zero = 0;                                                    \
	struct scratch *scratch = bpf_map_lookup_elem(&scratch_map, &zero); \
	if (!scratch)                                                    \
		return STEP_END;                                         \
	struct loop_context context = {.st = &scratch->st, .rec = &scratch->rec}, *c = &context

__attribute__((noinline)) int php_enter(u32 tag)
{
	LOAD_CONTEXT(c);
	struct unwind_state *st = c->st;
	struct php_process *p = php_record(c);
	u64 func;
	u32 info;
	u8 type;

	if (tag == PHP_LEAF)
		return php_leaf(c);
	if (!p) {
		if (tag == PHP_LOOP && !st->rt[RT_STARTED]) {
			st->rt[RT_STARTED] = 1;
			push_runtime_error(c, RTERR_NO_RECORD);
		}
		return STEP_NATIVE;
	}
	if (!st->rt[RT_STARTED]) {
		u32 error = php_start(c, p);
		if (error) {
			push_runtime_error(c, error);
			return STEP_NATIVE;
		}
	}
	if (!st->rt[RT_NEXT])
		return STEP_NATIVE;
	if (tag == PHP_LOOP) {
		if (st->rt[RT_LOOKED]) {
			st->rt[RT_LOOKED] = 0;
			st->mode = MODE_CALLS;
			return STEP_NATIVE;
		}
		st->rt[RT_LOOKED] = 1;
		st->mode = MODE_INTERNAL;
		return STEP_AGAIN;
	}
	if (tag == PHP_FIBER)
		return php_fiber(c, p);
	/* A function that is written in C was called from C. Its frame comes before
	 * that of its caller, unless the call that was just left is its caller's. */
	if (st->rt[RT_CALLED] == st->frames || st->rt[RT_LOOKED]) {
		st->rt[RT_LOOKED] = 0;
		return STEP_NATIVE;
	}
	if (!read_u64(st->rt[RT_NEXT] + EX_FUNC * 8, &func) || !func || !read_user(&type, 1, func) ||
	    type != FUNCTION_INTERNAL || !read_u32(st->rt[RT_NEXT] + EX_INFO * 8, &info) || !(info & CALL_TOP))
		return STEP_NATIVE;
	st->rt[RT_LOOKED] = 1;
	st->mode = MODE_ONE;
	return STEP_AGAIN;
}

/* Words of the stack that are searched for the return address of execute_ex()
 * or into it: enough for the registers that an exit from a trace saves. */
#define SEARCH_WORDS 48
#if defined(__TARGET_ARCH_x86)
#define SEARCH_STRIDE 8
#else
#define SEARCH_STRIDE 16
#endif

struct php_search {
	u64 at, low, high;	 /* looks for a word from low to high */
	u64 skip_low, skip_high; /* but not within these */
	u64 found;
};

static long php_search_step(u32 i, struct php_search *s)
{
	u64 w;

	if (!read_u64(s->at, &w))
		return 1;
	if (w >= s->low && w < s->high && (w < s->skip_low || w >= s->skip_high)) {
		s->found = w;
		return 1;
	}
	s->at += SEARCH_STRIDE;
	return 0;
}

/* Compiled code. In the hybrid VM it lies in the frame of execute_ex(), which
 * keeps its size but for what the code has put below it: the frame is found by its
 * return address. In the other VMs execute_ex() has called it. */
__attribute__((noinline)) int php_compiled(u64 pc)
{
	LOAD_CONTEXT(c);
	struct unwind_state *st = c->st;
	struct php_process *p = php_record(c);
	struct php_search s = {};

	if (!p || pc < p->jit_start || pc >= p->jit_end)
		return STEP_NATIVE;
	if (!st->rt[RT_STARTED]) {
		u32 error = php_start(c, p);
		if (error) {
			push_runtime_error(c, error);
			return STEP_NATIVE;
		}
		st->rt[RT_OPLINE] = 0;
	}
	bool hybrid = p->flags & PHP_HYBRID;
	s.at = st->sp;
	if (hybrid) {
		s.at += p->loop_return;
		s.low = p->text_start;
		s.high = p->text_end;
		s.skip_low = p->loop_start;
		s.skip_high = p->loop_end;
	} else {
		s.low = p->loop_start;
		s.high = p->loop_end;
	}
	bpf_loop(SEARCH_WORDS, php_search_step, &s, 0);
	if (!s.found)
		return runtime_end(c, RTERR_STACK);
	if (hybrid) {
		st->sp = s.at - p->loop_return;
		if (p->flags & PHP_FRAME_POINTER)
			st->fp = s.at - 8;
		st->pc = p->loop_pc;
		st->exact = 1;
	} else {
		st->sp = s.at + 8;
		st->pc = s.found;
		st->exact = 0;
	}
	st->regs_valid = 0;
	st->heuristic = 0;
	st->rt[RT_FLAGS] = PHP_COMPILED;
	return STEP_AGAIN;
}

static __always_inline u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 29);
}

/* Hash and length of a zend_string, mixed into h. */
static __always_inline u64 mix_string(u64 h, u64 s)
{
	u64 w[2] = {};

	if (s)
		read_user(w, 16, s + STRING_HASH);
	return mix(mix(h, w[0]), w[1]);
}

/* A pointer of 48 bits, as arm64 has them, that is a multiple of 8, above 19 bits of
 * something else. */
#define PACKED_MASK 0x7ffffULL

static __always_inline u64 pack_pointer(u64 p)
{
	return (p & 0xfffffffffff8ULL) << 16;
}

static __always_inline void push_call(struct loop_context *c, u64 *ex)
{
	struct unwind_state *st = c->st;
	u64 layout = st->rt[RT_LAYOUT];
	u64 f[3], file[2], cookie = 0, opline, class = 0, w;
	u32 flags = st->rt[RT_FLAGS], line = 0, start, end;
	u64 func = ex[EX_FUNC];

	/* type, name, class */
	if (!read_user(f, sizeof(f), func)) {
		push_runtime_error(c, RTERR_BAD_FRAME);
		return;
	}
	cookie = mix_string(1, f[1]);
	if (f[2]) {
		read_u64(f[2] + CLASS_NAME, &class);
		cookie = mix_string(cookie, class);
	}
	if ((u8)f[0] == FUNCTION_INTERNAL) {
		if (f[1]) /* else the bottom of a fiber */
			push_runtime2(c, PHP_INTERNAL, func, 0, cookie);
		return;
	}
	st->rt[RT_FLAGS] = 0;
	if (!read_user(file, sizeof(file), func + (layout & 0xffff))) {
		push_runtime_error(c, RTERR_BAD_FRAME);
		return;
	}
	start = file[1];
	end = file[1] >> 32;
	cookie = mix_string(cookie, file[0]);

	opline = ex[EX_OPLINE];
	w = st->rt[RT_OPLINE];
	if (w) {
		u64 opcodes;
		u32 last;
		if (read_u64(func + ((layout >> 16) & 0xffff), &opcodes) &&
		    read_u32(func + ((layout >> 32) & 0xffff), &last) && w >= opcodes && w < opcodes + (u64)last * 32)
			opline = w;
		st->rt[RT_OPLINE] = 0;
	}
	if (!read_u32(opline + OP_LINENO, &line) || line < start || line > end)
		line = 0;

	if ((ex[EX_INFO] & (CALL_CODE | CALL_TOP)) == CALL_CODE)
		flags |= PHP_NESTED;
	if ((ex[EX_INFO] & CALL_CLOSURE) || !f[1]) {
		/* Its function is freed when it has returned: name it by what stays. */
		hash_word(st, cookie);
		push_runtime2(c, flags | PHP_PARTS, file[0], pack_pointer(f[1]) | (line & PACKED_MASK),
			      pack_pointer(f[2]) | (cookie & PACKED_MASK));
		return;
	}
	push_runtime2(c, flags | PHP_USER, func, ((u64)start << 32) | line, mix(cookie, file[1]));
}

/* Who called the oldest call of a frame of the loop is told by the native stack. */
static __always_inline u32 after_call(struct unwind_state *st)
{
	return st->ended && st->end != END_COMPLETE ? MODE_REST : MODE_NATIVE;
}

/* A generator that was delegated to ("yield from") runs for others: they follow
 * its own call, up to the one that was asked for a value. Returns the next call. */
static __always_inline u64 php_delegated(struct unwind_state *st)
{
	u64 offsets = st->rt[RT_GENERATORS], g = st->rt[RT_GENERATOR], outer = st->rt[RT_OUTER], ex[EX_WORDS];
	u32 children = 0;

	if (!outer) {
		/* Its caller is a stand-in that has the outermost generator as its object. */
		if (!read_user(ex, sizeof(ex), st->rt[RT_NEXT]) || ex[EX_FUNC] || (u8)ex[EX_INFO] != TYPE_OBJECT)
			return 0;
		st->rt[RT_OUTER] = outer = ex[EX_THIS];
		st->rt[RT_NEXT] = ex[EX_PREV];
	}
	if (!g || !outer || g == outer)
		return 0;
	if (!read_u32(g + ((offsets >> 16) & 0xffff), &children) || children != 1 ||
	    !read_u64(g + ((offsets >> 32) & 0xffff), &g))
		g = outer; /* several take from it: only the outermost is sure */
	st->rt[RT_GENERATOR] = g;
	return read_u64(g + (offsets & 0xffff), &g) ? g : 0;
}

__attribute__((noinline)) int php_next(u32 mode)
{
	LOAD_CONTEXT(c);
	struct unwind_state *st = c->st;
	u64 ex[EX_WORDS], at = st->rt[RT_NEXT], func;
	u8 type = 0;

	if (mode == MODE_DELEGATED && !(at = php_delegated(st))) {
		st->rt[RT_OUTER] = 0;
		st->rt[RT_CALLED] = st->frames;
		st->mode = after_call(st);
		return STEP_AGAIN;
	}
	if (!at) {
		st->mode = MODE_NATIVE;
		return STEP_AGAIN;
	}
	if (!read_user(ex, sizeof(ex), at)) {
		push_runtime_error(c, RTERR_READ);
		st->rt[RT_NEXT] = 0;
		st->mode = MODE_NATIVE;
		return STEP_AGAIN;
	}
	func = ex[EX_FUNC];
	if (mode == MODE_INTERNAL && func) {
		read_user(&type, 1, func);
		if (type != FUNCTION_INTERNAL) {
			st->mode = MODE_NATIVE; /* and to the loop again */
			return STEP_AGAIN;
		}
	}
	if (mode != MODE_DELEGATED)
		st->rt[RT_NEXT] = ex[EX_PREV];
	if (!func) /* a stand-in at the bottom of a call from C */
		return STEP_AGAIN;
	push_call(c, ex);
	if (mode == MODE_ONE) {
		st->mode = MODE_NATIVE;
	} else if ((ex[EX_INFO] & CALL_GENERATOR) && mode != MODE_DELEGATED && (u16)st->rt[RT_GENERATORS]) {
		st->rt[RT_GENERATOR] = ex[EX_RETURN];
		st->mode = MODE_DELEGATED;
	} else if (mode == MODE_CALLS && (ex[EX_INFO] & CALL_TOP)) {
		st->rt[RT_CALLED] = st->frames;
		st->mode = after_call(st);
	}
	return STEP_AGAIN;
}

/* The native stack was lost: in code that cannot be unwound, such as what a
 * library for regular expressions compiles, or for want of a table. The calls are
 * known all the same. */
__attribute__((noinline)) int php_lost(u32 mode)
{
	LOAD_CONTEXT(c);
	struct unwind_state *st = c->st;

	if (!st->rt[RT_STARTED]) {
		struct php_process *p = php_record(c);
		/* Without thread-safety PHP runs in the first thread as a rule. */
		if (!p || (!(p->flags & PHP_ZTS) && c->rec->hdr.tid != st->tgid) || php_start(c, p))
			return 0;
	}
	return st->rt[RT_NEXT] ? mode : MODE_NATIVE;
}

static __always_inline u32 php_left(struct unwind_state *st)
{
	return st->end == END_COMPLETE ? MODE_NATIVE : php_lost(MODE_REST);
}

static __always_inline int php_interpreter(struct loop_context *c, u32 tag)
{
	return php_enter(tag);
}

static __always_inline int php_code(struct loop_context *c, u64 pc)
{
	return php_compiled(pc);
}

static __always_inline int php_calls(struct loop_context *c)
{
	int r = php_next(c->st->mode);

	/* The verifier must see the result compared, as it knows nothing of it. */
	asm volatile("" : "+r"(r));
	return r;
}

RUNTIME_PROGRAM(RUNTIME_PHP, php, php_interpreter, php_code, php_calls);

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "all.h"
#include "runtime.h"

/*
 * V8: Node.js, Deno. All of its code but the shortest keeps a chain of frame
 * pointers. Below a frame's saved frame pointer lie either a context and the
 * function (JavaScript, in whatever tier), or a small integer that says what
 * else the frame is. Three kinds of code:
 *
 * - builtins, in the executable: compiled ahead, named by its symbol table. The
 *   interpreter is some of them: a handler per bytecode, which run on the frame
 *   of the function that they interpret.
 * - code made at run time, in anonymous memory: three compilers', stubs, regular
 *   expressions and WebAssembly.
 * - C++, which has unwind tables.
 *
 * Short builtins and the first and last instructions of any other have no frame
 * of their own. Only the leaf of a stack can be there: a return address is then
 * close to the top of the stack, which is looked for one word per step.
 */

enum v8_frame {
	V8_FRAME_INTERPRETED = 1, /* addr: function, w1: check and bytecode offset, w2: bytecode */
	V8_FRAME_COMPILED = 2,    /* addr: function, w1: check and hash of the code, w2: pc, EXACT */
	V8_FRAME_MARKER = 3,	  /* w1: kind of the frame */
	V8_FRAME_UNKNOWN = 4,	  /* code of an unknown kind */
};
#define V8_EXACT (1ULL << 63) /* pc was interrupted, it is no return address */

/* What must be known of a process: offsets are in objects of V8's heap. */
struct v8_process {
	u16 first_function; /* instance types */
	u16 last_function;
	u16 bytecode_array;
	u16 shared; /* type of SharedFunctionInfo */
	u8 map_type;
	u8 function_shared;
	u8 shared_name;
	u8 shared_script;
	/* How far below the saved frame pointer, in bytes. */
	u8 frame_bytecode;
	u8 frame_offset;
	u8 reserved[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct v8_process);
} v8_processes SEC(".maps");

/* Where a function is found when it is called, by DWARF number: rdi, x1. */
#if defined(__TARGET_ARCH_x86)
#define FUNCTION_REGISTER 5
#else
#define FUNCTION_REGISTER 1
#endif

/* st->mode: look for a return address. */
#define MODE_SCAN  1
#define SCAN_WORDS 6

/* st->rt: */
#define RT_INDEX   0 /* word that is looked at */
#define RT_SCANNED 1 /* there is no return address: the frame is complete */
#define RT_MADE	   2 /* the leaf is code made at run time, and not yet pushed */

/* Reads a pointer to an object: they are odd. Returns its address, 0 if it is none. */
static __always_inline u64 object(u64 tagged)
{
	return (tagged & 3) == 1 ? tagged - 1 : 0;
}

static __always_inline u16 instance_type(const struct v8_process *p, u64 map)
{
	u16 type;

	map = object(map);
	if (!map || !read_user(&type, 2, map + p->map_type))
		return 0;
	return type;
}

/* A function: the part that all its closures share, and a check of its content. */
struct function {
	u64 shared;
	u32 check;
};

static __always_inline u32 fold(u64 a, u64 b)
{
	u64 h = (a ^ 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	h = (h ^ (h >> 32) ^ b) * 0xc4ceb9fe1a85ec53ULL;
	return h >> 32;
}

static __always_inline bool read_function(const struct v8_process *p, u64 tagged, struct function *f)
{
	u64 fn = object(tagged), map, name, script;
	u16 type;

	if (!fn || !read_u64(fn, &map))
		return false;
	type = instance_type(p, map);
	if (type < p->first_function || type > p->last_function)
		return false;
	if (!read_u64(fn + p->function_shared, &f->shared))
		return false;
	f->shared = object(f->shared);
	if (!f->shared || !read_u64(f->shared + p->shared_name, &name) || !read_u64(f->shared + p->shared_script, &script))
		return false;
	f->check = fold(name, script);
	return true;
}

static __always_inline struct v8_process *process_record(struct unwind_state *st)
{
	u32 key = runtime_record(st);
	return bpf_map_lookup_elem(&v8_processes, &key);
}

/* Changes when another function's code comes to lie where one was. */
static __always_inline u32 hash_code(u64 pc)
{
	u64 code;
	return read_u64(pc - 8, &code) ? fold(code, 0) : 0;
}

static __always_inline void push_compiled(struct loop_context *c, const struct function *f)
{
	struct unwind_state *st = c->st;
	u64 pc = (st->pc & FRAME_ADDR_MASK) | (st->exact ? V8_EXACT : 0);

	push_runtime2(c, V8_FRAME_COMPILED, f->shared, ((u64)f->check << 32) | hash_code(st->pc), pc);
}

static __always_inline void push_native(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 off = (st->exact ? st->pc : st->pc - 1) + st->map_bias;

	push_frame(c, ((u64)FRAME_FILE << FRAME_KIND_SHIFT) | ((u64)(st->exec_id & 0xfffff) << FRAME_FILE_SHIFT) |
			      (off & FRAME_OFF_MASK));
}

static __always_inline int step_caller(struct loop_context *c)
{
	c->st->rt[RT_SCANNED] = 0;
	return step_frame_pointer(c->st, false) ? STEP_END : STEP_AGAIN;
}

static __always_inline int begin_scan(struct unwind_state *st, bool made)
{
	st->rt[RT_INDEX] = 0;
	st->rt[RT_MADE] = made;
	st->mode = MODE_SCAN;
	return STEP_AGAIN;
}

/* Whether the frame's code may lack a frame: only the leaf's can. */
static __always_inline bool must_scan(struct unwind_state *st)
{
#if defined(__TARGET_ARCH_x86)
	return st->exact && !st->rt[RT_SCANNED];
#else
	return false;
#endif
}

/* Whether the frame that the frame pointer shows belongs to the interpreter. */
static __always_inline bool push_interpreted(struct loop_context *c, const struct v8_process *p)
{
	struct unwind_state *st = c->st;
	struct function f;
	u64 tagged, array, map, offset;

	if (!read_stack(st, st->fp - p->frame_offset, &offset) || !read_stack(st, st->fp - p->frame_bytecode, &tagged))
		return false;
	array = object(tagged);
	if ((offset & 0xffffffff) || !array || !read_u64(array, &map) || instance_type(p, map) != p->bytecode_array)
		return false;
	if (!read_stack(st, st->fp - 16, &tagged) || !read_function(p, tagged, &f))
		return false;
	push_runtime2(c, V8_FRAME_INTERPRETED, f.shared, ((u64)f.check << 32) | (offset >> 32), array);
	return true;
}

/* A builtin. */
static __always_inline int v8_interpreter(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;
	struct v8_process *p = process_record(st);
	bool scan = must_scan(st);

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (scan || (!st->exact && !push_interpreted(c, p)))
		push_native(c);
	else if (st->exact)
		push_interpreted(c, p);
	if (scan)
		return begin_scan(st, false);
	return step_caller(c);
}

static __always_inline int v8_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	struct v8_process *p = process_record(st);
	struct function f;
	u64 marker, function;

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (must_scan(st))
		return begin_scan(st, true);
	if (!read_stack(st, st->fp - 16, &function) || !read_stack(st, st->fp - 8, &marker))
		return STEP_NATIVE;
	if (!(marker & 1) && marker && marker < 256) {
		push_runtime1(c, V8_FRAME_MARKER, 0, marker >> 1);
	} else if (object(marker) && read_function(p, function, &f)) {
		push_compiled(c, &f);
	} else if (st->map_end) {
		push_runtime1(c, V8_FRAME_UNKNOWN, 0, 0);
	} else {
		st->rt[RT_SCANNED] = 0;
		return STEP_NATIVE;
	}
	return step_caller(c);
}

/* Whether the instruction before pc calls: what stands on a stack may be an old pointer. */
static __always_inline bool after_call(u64 pc)
{
	u8 b[8];

	if (!read_user(b, sizeof(b), pc - 8))
		return false;
	return b[3] == 0xe8 || (b[6] == 0xff && (b[7] & 0x38) == 0x10) || (b[5] == 0xff && (b[6] & 0x38) == 0x10) ||
	       (b[4] == 0xff && (b[5] & 0x38) == 0x10) || (b[2] == 0xff && (b[3] & 0x38) == 0x10) ||
	       (b[1] == 0xff && (b[2] & 0x38) == 0x10);
}

/* Looks at one more word for a return address: everything between the stack
 * pointer and the frame pointer belongs to the leaf, if that has a frame. */
static __always_inline int v8_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 i = st->rt[RT_INDEX]++, at = st->sp + i * 8, word;

	if (i >= SCAN_WORDS || at == st->fp || (st->fp & 7) || !read_stack(st, at, &word)) {
		st->rt[RT_SCANNED] = 1;
		st->mode = 0;
		return STEP_AGAIN;
	}
	if (word < 4096 || word >> 47 || !after_call(word) || !find_mapping(c, word))
		return STEP_AGAIN;
	if (st->rt[RT_MADE]) {
		/* At its first instruction a function finds itself in a register. */
		struct v8_process *p = process_record(st);
		struct function f = {};
		if (p && st->regs_valid && read_function(p, st->gpr[FUNCTION_REGISTER], &f))
			push_compiled(c, &f);
	}
	st->mode = 0;
	return finish_step(st, at + 8, word, st->fp) ? STEP_END : STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_V8, v8, v8_interpreter, v8_code, v8_frames);

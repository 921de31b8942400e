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
 * Short builtins and the first and last instructions of any code have no frame
 * of their own; only the leaf of a stack can be there. What of the code is before
 * or after its frame is told by the instructions. A builtin without a frame is told
 * by the frame that is there: it is a script function's, which is no builtin. For
 * compiled code the place in it is needed too, the return address: it is looked
 * for close to the top of the stack, one word per step.
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
#define SCAN_WORDS 8
/* st->rt: the word that is looked at. */
#define RT_INDEX 0

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
	bool builtin;
};

static __always_inline u32 fold(u64 a, u64 b)
{
	u64 h = (a ^ 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	h = (h ^ (h >> 32) ^ b) * 0xc4ceb9fe1a85ec53ULL;
	return h >> 32;
}

static __always_inline bool read_function(const struct v8_process *p, u64 tagged, struct function *f)
{
	u64 fn = object(tagged), map;
	u16 type;

	if (!fn || !read_u64(fn, &map))
		return false;
	type = instance_type(p, map);
	if (type < p->first_function || type > p->last_function)
		return false;
	if (!read_u64(fn + p->function_shared, &f->shared))
		return false;
	f->shared = object(f->shared);
	u64 w[8] = {};
	if (!f->shared || !read_user(w, 6 * 8, f->shared))
		return false;
	f->check = fold(w[(p->shared_name >> 3) & 7], w[(p->shared_script >> 3) & 7]);
	f->builtin = !object(w[1]); /* a number instead of bytecode or code */
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
	return step_frame_pointer(c->st, false) ? STEP_END : STEP_AGAIN;
}

/* How many words above the stack pointer a leaf's return address is, as its
 * instructions tell; NO_WORD: it has a frame. */
#define NO_WORD 2
#define BEFORE	8  /* bytes that are looked at before the instruction */
#define AHEAD	24 /* and from it on */

#if defined(__TARGET_ARCH_x86)
/* All ones for 0, 0 for anything else of 32 bits. */
static __always_inline u64 is_zero(u64 v)
{
	v = (v - 1) >> 63;
	asm volatile("" : "+r"(v));
	return -v;
}
#endif

static __always_inline u32 return_word(u64 pc)
{
#if defined(__TARGET_ARCH_x86)
	u8 b[BEFORE + AHEAD];

	if (!read_user(b, sizeof(b), pc - BEFORE))
		return NO_WORD;
	/* ret */
	if (b[BEFORE] == 0xc3 || b[BEFORE] == 0xc2)
		return 0;
	/* mov rbp, rsp behind push rbp */
	if (b[BEFORE - 1] == 0x55 && b[BEFORE] == 0x48 && b[BEFORE + 1] == 0x89 && b[BEFORE + 2] == 0xe5)
		return 1;
	/* behind mov rsp, rbp; pop rbp; and maybe cmp r8, n */
	if (b[BEFORE - 2] == 0xe5 && b[BEFORE - 1] == 0x5d)
		return 0;
	if (b[BEFORE - 6] == 0xe5 && b[BEFORE - 5] == 0x5d && b[BEFORE - 4] == 0x49 && b[BEFORE - 3] == 0x83)
		return 0;
	/* before push rbp; mov rbp, rsp, if no other code ends in between; without
	 * branches, each of which would double what the verifier follows */
	u64 found = 0;
#pragma unroll
	for (int i = AHEAD - 4; i >= 0; i--) {
		u8 *at = b + BEFORE + i;
		u32 four = at[0] | at[1] << 8 | at[2] << 16 | (u32)at[3] << 24;
		found = (found & ~is_zero(at[0] ^ 0xcc)) | is_zero(four ^ 0xe5894855);
		asm volatile("" : "+r"(found));
	}
	if (found & 1)
		return 0;
	return NO_WORD;
#else
	return NO_WORD;
#endif
}

/* Steps from a leaf without a frame. */
static __always_inline int step_leaf(struct loop_context *c, u64 word)
{
	struct unwind_state *st = c->st;
	u64 at = st->sp + word * 8, ra;

	if (!read_stack(st, at, &ra)) {
		st->end = END_STACK_READ;
		return STEP_END;
	}
	return finish_step(st, at + 8, ra, st->fp) ? STEP_END : STEP_AGAIN;
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
	struct function f;
	u64 context, function;

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (st->exact) {
		push_native(c);
		u32 word = return_word(st->pc);
		if (word != NO_WORD)
			return step_leaf(c, word);
	}
	if (push_interpreted(c, p))
		return step_caller(c);
	if (!st->exact) {
		push_native(c);
	} else if (read_stack(st, st->fp - 16, &function) && read_stack(st, st->fp - 8, &context) && object(context) &&
		   read_function(p, function, &f) && !f.builtin) {
		st->rt[RT_INDEX] = 0;
		st->mode = MODE_SCAN;
		return STEP_AGAIN;
	}
	return step_caller(c);
}

/* Code made at run time. */
static __always_inline int v8_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	struct v8_process *p = process_record(st);
	struct function f;
	u64 marker, function;

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (st->exact && st->map_end) {
		u32 word = return_word(pc);
		if (word != NO_WORD) {
			/* When it is called a function finds itself in a register. */
			if (st->regs_valid && read_function(p, st->gpr[FUNCTION_REGISTER], &f))
				push_compiled(c, &f);
			return step_leaf(c, word);
		}
	}
	if (!read_stack(st, st->fp - 16, &function) || !read_stack(st, st->fp - 8, &marker))
		return STEP_NATIVE;
	if (!(marker & 1) && marker && marker < 256)
		push_runtime1(c, V8_FRAME_MARKER, 0, marker >> 1);
	else if (object(marker) && read_function(p, function, &f))
		push_compiled(c, &f);
	else if (st->map_end)
		push_runtime1(c, V8_FRAME_UNKNOWN, 0, 0);
	else
		return STEP_NATIVE;
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

/* Looks at one more word for the return address of a builtin without a frame:
 * what is between the stack pointer and the frame pointer it has pushed. */
static __always_inline int v8_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 i = st->rt[RT_INDEX]++, at = st->sp + i * 8, word;

	if (i < SCAN_WORDS && at < st->fp && read_stack(st, at, &word)) {
		if (word < HOST_PAGE || word >> 47 || !after_call(word) || !find_mapping(c, word) || !in_made_code(st))
			return STEP_AGAIN;
		st->mode = 0;
		return finish_step(st, at + 8, word, st->fp) ? STEP_END : STEP_AGAIN;
	}
	/* Without its place the function has a name at least. */
	struct v8_process *p = process_record(st);
	struct function f;
	u64 function;

	st->mode = 0;
	if (p && read_stack(st, st->fp - 16, &function) && read_function(p, function, &f))
		push_runtime2(c, V8_FRAME_COMPILED, f.shared, (u64)f.check << 32, 0);
	return step_caller(c);
}

RUNTIME_PROGRAM(RUNTIME_V8, v8, v8_interpreter, v8_code, v8_frames);

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

/* Where a function is found when it is called, by DWARF number: rdi, x1. What lies between
 * the frame record that V8 makes where C++ enters it and C++'s own frame: registers. */
#if defined(__TARGET_ARCH_x86)
#define FUNCTION_REGISTER 5
#define ENTRY_REGISTERS	  0
#else
#define FUNCTION_REGISTER 1
#define ENTRY_REGISTERS	  (18 * 8) /* x19 to x28, d8 to d15 */
#endif

/* Kinds of frames (StackFrame::Type). */
#define MARKER_ENTRY	       1
#define MARKER_CONSTRUCT_ENTRY 2

/* st->mode: what is done in the next step. A frame takes two steps, one to find
 * out what it is and one to push it and to go on to its caller: so the code for
 * either is there once, and the verifier's work is a third. */
#define MODE_PUSH 1 /* rt holds the frame */
#define MODE_SCAN 2 /* look for a return address */
#define MODE_ERROR 3 /* the process is not known */
#define SCAN_WORDS 8

/* st->rt: */
#define RT_INDEX  0 /* the word that is looked at */
#define RT_NATIVE 1 /* a frame of a builtin is to be pushed */
#define RT_WORD	  2 /* words from the stack pointer to the return address; NO_WORD */
#define RT_KIND	  3 /* of a frame of V8's, 0: none; and its words */
#define RT_ADDR	  4
#define RT_W1	  5
#define RT_W2	  6
#define RT_ENTRY  7 /* C++ entered V8 in this frame */

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

static __always_inline u32 fold(u64 a, u64 b)
{
	u64 h = (a ^ 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	h = (h ^ (h >> 32) ^ b) * 0xc4ceb9fe1a85ec53ULL;
	return h >> 32;
}

/* A frame as it will be pushed. */
struct found {
	u64 addr, w1, w2;
	u32 kind; /* enum v8_frame, 0: none */
	u32 builtin;
};

/* The functions that are not inlined are global: the verifier looks at each once,
 * by itself, whatever calls it. */

/* Reads a function: the part that all its closures share, and a check of its
 * content. */
__noinline int v8_function(const struct v8_process *p, u64 tagged, struct found *f)
{
	u64 fn = object(tagged), map, shared, w[8] = {};
	u16 type;

	if (!p || !f || !fn || !read_u64(fn, &map))
		return 0;
	type = instance_type(p, map);
	if (type < p->first_function || type > p->last_function || !read_u64(fn + p->function_shared, &shared))
		return 0;
	shared = object(shared);
	if (!shared || !read_user(w, 6 * 8, shared))
		return 0;
	f->addr = shared;
	f->w1 = (u64)fold(w[(p->shared_name >> 3) & 7], w[(p->shared_script >> 3) & 7]) << 32;
	f->builtin = !object(w[1]); /* a number instead of bytecode or code */
	f->kind = V8_FRAME_COMPILED;
	return 1;
}

/* Tells whose frame the frame pointer shows. */
__noinline int v8_identify(const struct v8_process *p, u64 fp, struct found *f)
{
	u64 s[8] = {}, array, map;

	if (!p || !f)
		return 0;
	f->kind = V8_FRAME_UNKNOWN;
	if ((fp & 7) || !read_user(s, 6 * 8, fp - 6 * 8))
		return 0;
	if (s[5] && !(s[5] & 1) && s[5] < 256) {
		f->kind = V8_FRAME_MARKER;
		f->w1 = s[5] >> 1;
		return 0;
	}
	if (!object(s[5]) || !v8_function(p, s[4], f))
		return 0;
	array = object(s[(6 - (p->frame_bytecode >> 3)) & 7]);
	u64 offset = s[(6 - (p->frame_offset >> 3)) & 7];
	if ((offset & 0xffffffff) || !array || !read_u64(array, &map) || instance_type(p, map) != p->bytecode_array)
		return 0;
	f->kind = V8_FRAME_INTERPRETED;
	f->w1 |= offset >> 32;
	f->w2 = array;
	return 0;
}

/* How many words above the stack pointer a leaf's return address is, as its
 * instructions tell; NO_WORD: it has a frame. */
#define NO_WORD 255
#define BEFORE	8  /* bytes that are looked at before the instruction */
#define AHEAD	24 /* and from it on */

#if defined(__TARGET_ARCH_x86)
/* All ones for 0, 0 for anything else of 32 bits. Without branches: each would
 * double what the verifier follows. */
static __always_inline u64 is_zero(u64 v)
{
	v = (v - 1) >> 63;
	asm volatile("" : "+r"(v));
	return -v;
}

static __always_inline u32 four_bytes(const u8 *b)
{
	return b[0] | b[1] << 8 | b[2] << 16 | (u32)b[3] << 24;
}

__noinline u32 v8_return_word(u64 pc)
{
	u8 b[BEFORE + AHEAD];

	if (!read_user(b, sizeof(b), pc - BEFORE))
		return NO_WORD;
	const u8 *at = b + BEFORE;
	/* mov rbp, rsp behind push rbp */
	if (four_bytes(at - 1) == 0xe5894855)
		return 1;
	/* ret; behind mov rsp, rbp; pop rbp; also behind the cmp r8, n after that */
	u64 bare = is_zero(at[0] ^ 0xc3) | is_zero(at[0] ^ 0xc2) | is_zero((four_bytes(at - 2) & 0xffff) ^ 0x5de5) |
		   is_zero(four_bytes(at - 6) ^ 0x83495de5);
	/* before push rbp; mov rbp, rsp, if no other code ends in between */
	u64 before = 0;
#pragma unroll
	for (int i = AHEAD - 4; i >= 0; i--) {
		before = (before & ~is_zero(at[i] ^ 0xcc)) | is_zero(four_bytes(at + i) ^ 0xe5894855);
		asm volatile("" : "+r"(before));
	}
	return ((bare | before) & 1) ? 0 : NO_WORD;
}
#else
static __always_inline u32 v8_return_word(u64 pc)
{
	return NO_WORD;
}
#endif

/* Changes when another function's code comes to lie where one was. */
static __always_inline u32 hash_code(u64 pc)
{
	u64 code;
	return read_u64(pc - 8, &code) ? fold(code, 0) : 0;
}

static __always_inline struct v8_process *process_record(struct unwind_state *st)
{
	u32 key = runtime_record(st);
	return bpf_map_lookup_elem(&v8_processes, &key);
}

static __always_inline void push_native(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 off = (st->exact ? st->pc : st->pc - 1) + st->map_bias;

	push_frame(c, ((u64)FRAME_FILE << FRAME_KIND_SHIFT) | ((u64)(st->exec_id & 0xfffff) << FRAME_FILE_SHIFT) |
			      (off & FRAME_OFF_MASK));
}

/* A frame of code made at run time, or of a builtin. */
static __always_inline int v8_any(struct loop_context *c, bool made)
{
	struct unwind_state *st = c->st;
	struct v8_process *p = process_record(st);
	struct found f = {};
	u32 word = NO_WORD;

	if (!p) {
		st->mode = MODE_ERROR;
		return STEP_AGAIN;
	}
	if (st->exact && st->map_end)
		word = v8_return_word(st->pc);
	if (word == NO_WORD)
		v8_identify(p, st->fp, &f);
	else if (made && st->regs_valid) /* when it is called a function finds itself in a register */
		v8_function(p, st->gpr[FUNCTION_REGISTER], &f);
	st->mode = MODE_PUSH;
	st->rt[RT_ENTRY] = ENTRY_REGISTERS && !made && f.kind == V8_FRAME_MARKER &&
			   (f.w1 == MARKER_ENTRY || f.w1 == MARKER_CONSTRUCT_ENTRY);
	if (made) {
		/* Maybe no code at all, or another runtime's. */
		if (f.kind == V8_FRAME_UNKNOWN && (!st->map_end || st->slot[1].runtime)) {
			st->mode = 0;
			return STEP_NATIVE;
		}
		if (f.kind == V8_FRAME_COMPILED) {
			f.w1 |= hash_code(st->pc);
			f.w2 = (st->pc & FRAME_ADDR_MASK) | (st->exact ? V8_EXACT : 0);
		}
	} else {
		if (st->exact && f.kind == V8_FRAME_COMPILED && !f.builtin)
			st->mode = MODE_SCAN;
		else if (f.kind != V8_FRAME_INTERPRETED)
			f.kind = 0;
	}
	st->rt[RT_NATIVE] = !made && (st->exact || f.kind != V8_FRAME_INTERPRETED);
	st->rt[RT_INDEX] = 0;
	st->rt[RT_WORD] = word;
	st->rt[RT_KIND] = f.kind;
	st->rt[RT_ADDR] = f.addr;
	st->rt[RT_W1] = f.w1;
	st->rt[RT_W2] = f.w2;
	return STEP_AGAIN;
}

static __always_inline int v8_interpreter(struct loop_context *c, u32 tag)
{
	return v8_any(c, false);
}

static __always_inline int v8_code(struct loop_context *c, u64 pc)
{
	return v8_any(c, true);
}

/* Whether the instruction before pc calls: what stands on a stack may be anything. */
__noinline u32 v8_after_call(u64 pc)
{
	u8 b[8];

	if (!read_user(b, sizeof(b), pc - 8))
		return 0;
	return b[3] == 0xe8 || (b[6] == 0xff && (b[7] & 0x38) == 0x10) || (b[5] == 0xff && (b[6] & 0x38) == 0x10) ||
	       (b[4] == 0xff && (b[5] & 0x38) == 0x10) || (b[2] == 0xff && (b[3] & 0x38) == 0x10) ||
	       (b[1] == 0xff && (b[2] & 0x38) == 0x10);
}

/* Looks at one more word for the return address of a builtin without a frame:
 * what is between the stack pointer and the frame pointer it has pushed. */
static __always_inline void scan(struct unwind_state *st)
{
	u64 i = st->rt[RT_INDEX]++, at = st->sp + i * 8, word;

	if (i >= SCAN_WORDS || at >= st->fp || !read_u64(at, &word)) {
		/* Without its place the function has a name at least. */
		st->mode = MODE_PUSH;
		return;
	}
	/* Builtins are in the current mapping, compiled code is not. */
	if (word < HOST_PAGE || word >> 48 || word - st->map_start < st->map_end - st->map_start || !v8_after_call(word))
		return;
	st->mode = MODE_PUSH;
	st->rt[RT_WORD] = i;
	st->rt[RT_KIND] = 0;
}

static __always_inline int v8_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 word = st->rt[RT_WORD], ra, at;

	if (st->mode == MODE_SCAN) {
		scan(st);
		return STEP_AGAIN;
	}
	if (st->mode == MODE_ERROR) {
		st->mode = 0;
		return runtime_end(c, RTERR_NO_RECORD);
	}
	st->mode = 0;
	if (st->rt[RT_NATIVE])
		push_native(c);
	if (st->rt[RT_KIND])
		push_runtime2(c, st->rt[RT_KIND], st->rt[RT_ADDR], st->rt[RT_W1], st->rt[RT_W2]);
	if (word == NO_WORD) {
		if (step_frame_pointer(st, false))
			return STEP_END;
		if (st->rt[RT_ENTRY])
			st->sp += ENTRY_REGISTERS;
		return STEP_AGAIN;
	}
	at = st->sp + word * 8;
	if (!read_u64(at, &ra)) {
		st->end = END_STACK_READ;
		return STEP_END;
	}
	return finish_step(st, at + 8, ra, st->fp) ? STEP_END : STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_V8, v8, v8_interpreter, v8_code, v8_frames);

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HotSpot, the virtual machine of Java. Everything that it makes at run time
 * lies in the code heaps: the interpreter, stubs, and compiled methods, each in a
 * blob with a header. A table next to each heap, the segment map, leads from an
 * address to the blob. Compiled code has no frame pointer but frames of a fixed
 * size; the interpreter has a frame pointer and its state in slots below it.
 */
#include "all.h"
#include "runtime.h"

#define MAX_HEAPS 4
/* Most hops through the segment map: each is up to 254 segments of 128 bytes or
 * more, the largest methods are some 100 KiB. */
#define MAX_HOPS 24
/* What is read of a blob at once; more than the header of any but a method's. */
#define BLOB_BYTES   128
#define METHOD_BYTES 384
#define HEADER_SIZE  512
/* Words of the stack that are searched for a return address into the code heaps. */
#define SCAN_WORDS 32

/* Kinds of frames, for user space. */
#define HOTSPOT_INTERPRETED 1 /* Method*; bci, cookie << 16 */
#define HOTSPOT_COMPILED    2 /* nmethod*; offset in the code, exact << 31, compilation << 32 */
#define HOTSPOT_STUB	    3 /* CodeBlob*; offset in the code, name << 32 */

struct hotspot_heap {
	u64 low, high;
	u64 segmap;
	u32 shift; /* log2 of a segment's size */
	u32 reserved;
};

/* What must be known of a process. Offsets are those of members, 0xffff for none. */
struct hotspot_process {
	u64 code_low, code_high; /* bounds of all heaps */
	u64 interpreter_low, interpreter_high;
	struct hotspot_heap heap[MAX_HEAPS];
	u16 block_header; /* from the start of a block to that of its blob */
	u16 blob_name;
	u16 blob_code;
	u16 blob_frame_complete;
	u16 blob_frame_size;
	u16 method_compile_id;
	u16 method_deopt;
	u16 method_deopt_mh;
	u16 method_orig_pc;
	u16 method_const;
	u16 const_constants;
	u16 const_code_size;
	u16 const_bytecodes; /* from the start of ConstMethod */
	u8 code_is_address; /* not an offset from the blob */
	u8 frame_complete_short;
	u8 deopt_is_address;
	u8 slot_method; /* words below the interpreter's frame pointer */
	u8 slot_bcp;
	u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct hotspot_process);
} hotspot_processes SEC(".maps");

struct hotspot_scratch {
	u8 header[HEADER_SIZE + 8];
	u64 slots[SCAN_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hotspot_scratch);
} hotspot_scratch_map SEC(".maps");

static __always_inline u64 header_u64(struct hotspot_scratch *s, u16 off)
{
	return *(u64 *)(s->header + (off & (HEADER_SIZE - 1)));
}

static __always_inline u32 header_u32(struct hotspot_scratch *s, u16 off)
{
	return *(u32 *)(s->header + (off & (HEADER_SIZE - 1)));
}

static __always_inline bool in_code(struct hotspot_process *p, u64 addr)
{
	return addr - p->code_low < p->code_high - p->code_low;
}

/* Bits of a return address that are none of the address; see arch_arm64.h. */
static __always_inline u64 plain_address(u64 addr)
{
#if defined(__TARGET_ARCH_arm64)
	return addr & address_mask;
#else
	return addr;
#endif
}

/* ---- the interpreter ---- */

/* Words below and above the frame pointer that are read. */
#define SLOTS_BELOW 10
#define SLOTS	    (SLOTS_BELOW + 2)

static __always_inline u64 slot(struct hotspot_scratch *s, s32 i)
{
	return s->slots[(SLOTS_BELOW + i) & (SCAN_WORDS - 1)];
}

/* The register in which the interpreter keeps the bytecode's address. */
static __always_inline u64 bytecode_register(struct unwind_state *st)
{
#if defined(__TARGET_ARCH_x86)
	return st->gpr[13];
#else
	return st->gpr[22];
#endif
}

static __always_inline int interpreted(struct loop_context *c, struct hotspot_process *p, struct hotspot_scratch *s)
{
	struct unwind_state *st = c->st;
	u64 fp = st->fp, method, const_method, constants, sizes, bcp, bci, cookie, sp;

	if ((fp & 7) || fp < st->sp || bpf_probe_read_user(s->slots, SLOTS * 8, (void *)(fp - SLOTS_BELOW * 8)))
		return runtime_end(c, RTERR_STACK);
	method = slot(s, -(s32)p->slot_method);
	if (!read_u64(method + p->method_const, &const_method) ||
	    !read_u64(const_method + p->const_constants, &constants) ||
	    !read_u64(const_method + p->const_code_size, &sizes)) {
		push_runtime_error(c, RTERR_BAD_FRAME);
		goto caller;
	}
	/* The size of the code, then indexes of name and signature, and the number
	 * in the class, 16 bits each. */
	bcp = slot(s, -(s32)p->slot_bcp);
	if (st->regs_valid && bytecode_register(st) - const_method - p->const_bytecodes < (sizes & 0xffff))
		bcp = bytecode_register(st);
	bci = bcp - const_method - p->const_bytecodes;
	if (bci >= (sizes & 0xffff))
		bci = 0xffff;
	cookie = (const_method ^ (constants << 7) ^ sizes) * 0xff51afd7ed558ccdULL;
	push_runtime1(c, HOTSPOT_INTERPRETED, method, bci | (cookie & ~0xffffULL));
caller:
	sp = slot(s, -1);
	if (sp <= fp)
		sp = fp + 16;
	return finish_step(st, sp, plain_address(slot(s, 1)), slot(s, 0));
}

/* ---- blobs ---- */

/* Finds the blob that holds an address and reads its header. */
static __always_inline u64 find_blob(struct hotspot_process *p, struct hotspot_scratch *s, u64 addr)
{
	struct hotspot_heap *h = 0;
	u64 seg, at;
	u8 hop = 1;

#pragma unroll
	for (int i = 0; i < MAX_HEAPS; i++) {
		if (addr - p->heap[i].low < p->heap[i].high - p->heap[i].low)
			h = &p->heap[i];
	}
	if (!h)
		return 0;
	seg = (addr - h->low) >> (h->shift & 31);
	for (int i = 0; i < MAX_HOPS; i++) {
		if (!read_user(&hop, 1, h->segmap + seg) || hop == 0xff || hop > seg)
			return 0;
		if (!hop)
			break;
		seg -= hop;
	}
	if (hop)
		return 0;
	at = h->low + (seg << (h->shift & 31)) + p->block_header;
	if (at > addr)
		return 0;
	if (!read_user(s->header, METHOD_BYTES, at))
		/* A small one at the end of what is mapped. */
		return read_user(s->header, BLOB_BYTES, at) ? at : 0;
	return at;
}

#define NAME_NMETHOD 0x00646f6874656d6eULL /* "nmethod" */
#define NAME_NATIVE  0x6e2065766974616eULL /* "native n" */

/* Where the caller is, of a frame of the given size. */
static __always_inline int sized_frame(struct loop_context *c, struct hotspot_process *p, struct hotspot_scratch *s,
				       u64 size, bool java)
{
	struct unwind_state *st = c->st;
	u64 cfa = st->sp + size, ra, fp;

	if (!read_stack(st, cfa - 16, &fp) || !read_stack(st, cfa - 8, &ra))
		return runtime_end(c, RTERR_READ);
	ra = plain_address(ra);
	if (java && !in_code(p, ra)) {
		/* Java is called by Java, the interpreter or a stub. If it is not, the
		 * code has pushed something for a call of its own. */
		if (bpf_probe_read_user(s->slots, sizeof(s->slots), (void *)(cfa - 8)))
			return runtime_end(c, RTERR_STACK);
		int found = 0;
		for (int i = 1; i < SCAN_WORDS; i++) {
			if (!found && in_code(p, plain_address(s->slots[i])))
				found = i;
		}
		if (!found)
			return runtime_end(c, RTERR_STACK);
		ra = plain_address(s->slots[found & (SCAN_WORDS - 1)]);
		fp = s->slots[(found - 1) & (SCAN_WORDS - 1)];
		cfa += found * 8;
	}
	return finish_step(st, cfa, ra, fp);
}

/* A frame that has not been made yet, or is gone again: only the return address
 * is on the stack, below it as much as pushed says. */
static __always_inline int bare_frame(struct loop_context *c, u64 pushed)
{
	struct unwind_state *st = c->st;
	u64 ra, fp = st->fp;

#if defined(__TARGET_ARCH_arm64)
	if (!st->regs_valid)
		return runtime_end(c, RTERR_STACK);
	ra = st->lr;
	return finish_step(st, st->sp + pushed, ra, fp);
#else
	if (pushed && !read_stack(st, st->sp, &fp))
		return runtime_end(c, RTERR_READ);
	if (!read_stack(st, st->sp + pushed, &ra))
		return runtime_end(c, RTERR_READ);
	return finish_step(st, st->sp + pushed + 8, ra, fp);
#endif
}

#define FRAME_WHOLE   0 /* as the header says */
#define FRAME_BARE    1
#define FRAME_PUSHED  2 /* the caller's frame pointer is on top */
#define FRAME_NOT_FP  3 /* whole, but for the caller's frame pointer */

#if defined(__TARGET_ARCH_x86)
/* Whether a safepoint poll and the return follow: "cmp rsp, [r15+x]; ja" since 16,
 * "mov r10, [r15+x]; test [r10], eax" since 10, "test [rip+x], eax" before. */
static __always_inline bool poll_and_return(const u8 *b)
{
	if (b[0] == 0xc3 || b[0] == 0xc2)
		return true;
	if (b[0] == 0x49 && b[1] == 0x3b && b[2] == 0xa7)
		return b[7] == 0x0f && b[8] == 0x87 && b[13] == 0xc3;
	if (b[0] == 0x49 && b[1] == 0x3b && b[2] == 0x67)
		return b[4] == 0x0f && b[5] == 0x87 && b[10] == 0xc3;
	if (b[0] == 0x0f && b[1] == 0x87)
		return b[6] == 0xc3;
	if (b[0] == 0x4d && b[1] == 0x8b && (b[2] & 0xc7) == 0x87)
		return b[7] == 0x41 && b[8] == 0x85 && b[10] == 0xc3;
	if (b[0] == 0x41 && b[1] == 0x85)
		return b[3] == 0xc3;
	if (b[0] == 0x85 && b[1] == 0x05)
		return b[6] == 0xc3;
	return false;
}
#endif

/* How much of its frame a compiled method has at an interrupted instruction. */
static __always_inline int frame_state(struct unwind_state *st, bool complete)
{
	u8 b[24];

	/* From one byte before, to see a push that has just been done. */
	if (!read_user(b, sizeof(b), st->pc - 1))
		return complete ? FRAME_WHOLE : FRAME_BARE;
#if defined(__TARGET_ARCH_x86)
	if (!complete) {
		if (b[0] == 0x55 && b[1] == 0x48 && (b[2] == 0x81 || b[2] == 0x83 || b[2] == 0x8b))
			return FRAME_PUSHED; /* push rbp; sub rsp or mov rbp, rsp */
		if (b[1] == 0x48 && b[2] == 0x89 && (b[3] == 0x6c || b[3] == 0xac) && b[4] == 0x24)
			return FRAME_NOT_FP; /* sub rsp; mov [rsp+x], rbp */
		if (b[1] == 0x48 && (b[2] == 0x81 || b[2] == 0x83) && b[3] == 0xec && b[0] == 0xec)
			return FRAME_PUSHED; /* mov rbp, rsp; sub rsp */
		return FRAME_BARE;
	}
	if (b[1] == 0x48 && b[2] == 0x89 && (b[3] == 0x6c || b[3] == 0xac) && b[4] == 0x24)
		return FRAME_WHOLE;
	if (b[1] == 0x5d && poll_and_return(b + 2))
		return FRAME_PUSHED;
	return poll_and_return(b + 1) ? FRAME_BARE : FRAME_WHOLE;
#else
	u32 insn;
	__builtin_memcpy(&insn, b + 1, 4);
	if (insn == 0xd65f03c0) /* ret */
		return FRAME_BARE;
	return complete ? FRAME_WHOLE : FRAME_BARE;
#endif
}

static __always_inline int compiled(struct loop_context *c, struct hotspot_process *p, struct hotspot_scratch *s,
				    u64 blob, u64 code, u64 size)
{
	struct unwind_state *st = c->st;
	u64 pc = st->pc, exact = st->exact;
	s32 complete = header_u32(s, p->blob_frame_complete);
	u32 id = header_u32(s, p->method_compile_id);
	int how = FRAME_WHOLE;

	if (p->frame_complete_short)
		complete = (s16)complete;
	if (!exact) {
		/* A frame that will be deoptimized returns elsewhere; its own address
		 * is kept in the frame. */
		u64 deopt = header_u64(s, p->method_deopt), mh = header_u64(s, p->method_deopt_mh);
		if (!p->deopt_is_address) {
			deopt = blob + (u32)deopt;
			mh = blob + (u32)mh;
		}
		if (pc == deopt || (pc == mh && p->method_deopt_mh != 0xffff)) {
			u64 orig;
			if (read_stack(st, st->sp + (s64)(s32)header_u32(s, p->method_orig_pc), &orig) && orig - code < 1 << 24)
				pc = orig;
		}
	} else {
		how = frame_state(st, complete < 0 || pc - code >= (u64)complete);
	}
	push_runtime1(c, HOTSPOT_COMPILED, blob, ((u64)id << 32) | (exact << 31) | ((pc - code) & 0x7fffffff));
	if (how == FRAME_BARE || how == FRAME_PUSHED)
		return bare_frame(c, how == FRAME_PUSHED ? 8 : 0);
	if (!size)
		return step_frame_pointer(st, false);
	u64 fp = st->fp;
	int r = sized_frame(c, p, s, size, true);
	if (how == FRAME_NOT_FP)
		st->fp = fp;
	return r;
}

/* Stubs with no size of frame have set the frame pointer, or have none at all. */
static __always_inline int stub(struct loop_context *c, struct hotspot_process *p, struct hotspot_scratch *s, u64 blob,
				u64 code, u64 size, u64 name)
{
	struct unwind_state *st = c->st;

	push_runtime1(c, HOTSPOT_STUB, blob, (name << 32) | ((st->pc - code) & 0xffffffff));
	if (size && !st->exact)
		return sized_frame(c, p, s, size, false);
#if defined(__TARGET_ARCH_x86)
	u64 ra;
	if (st->exact) {
		/* A call from compiled code leaves its address on top; what has pushed
		 * the frame pointer has that there, which is no address of code. */
		if (!read_stack(st, st->sp, &ra))
			return runtime_end(c, RTERR_READ);
		if (in_code(p, ra))
			return bare_frame(c, 0);
		if (read_stack(st, st->sp + 8, &ra) && in_code(p, ra) && st->fp != st->sp)
			return bare_frame(c, 8);
		if (size)
			return sized_frame(c, p, s, size, false);
	}
#else
	if (st->exact && in_code(p, st->lr) && !size)
		return bare_frame(c, 0);
	if (size)
		return sized_frame(c, p, s, size, false);
#endif
	return step_frame_pointer(st, false);
}

static __always_inline int hotspot_code(struct loop_context *c, u64 lookup)
{
	struct unwind_state *st = c->st;
	u32 key = runtime_record(st), zero = 0;
	struct hotspot_process *p = bpf_map_lookup_elem(&hotspot_processes, &key);
	struct hotspot_scratch *s = bpf_map_lookup_elem(&hotspot_scratch_map, &zero);
	u64 blob, code, size, name, text = 0;

	if (!p || !s || !in_code(p, lookup))
		return STEP_NATIVE;
	if (lookup - p->interpreter_low < p->interpreter_high - p->interpreter_low)
		return interpreted(c, p, s);
	blob = find_blob(p, s, lookup);
	if (!blob) {
		push_runtime_error(c, RTERR_CODE);
		return step_guess(c);
	}
	code = header_u64(s, p->blob_code);
	if (!p->code_is_address)
		code = blob + (u32)code;
	size = (u64)header_u32(s, p->blob_frame_size) * 8;
	if (size > 1 << 20)
		size = 0; /* -1: none */
	name = header_u64(s, p->blob_name);
	if (!read_u64(name, &text)) {
		push_runtime_error(c, RTERR_CODE);
		return step_guess(c);
	}
	if (text == NAME_NMETHOD || text == NAME_NATIVE)
		return compiled(c, p, s, blob, code, size);
	return stub(c, p, s, blob, code, size, name);
}

static __always_inline int hotspot_interpreter(struct loop_context *c, u32 tag)
{
	return STEP_NATIVE;
}

static __always_inline int hotspot_frames(struct loop_context *c)
{
	c->st->mode = 0;
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_HOTSPOT, hotspot, hotspot_interpreter, hotspot_code, hotspot_frames);

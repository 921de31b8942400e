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
#include "hotspot.h"
#include "hotspot_interpreter.h"
#include "hotspot_frozen.h"

/* Finds the blob that holds an address and reads its header. */
__noinline u64 hotspot_find_blob(struct hotspot_process *p, struct hotspot_scratch *s, u64 addr)
{
	if (!p || !s)
		return 0;
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
#define NAME_NATIVE 0x6e2065766974616eULL  /* "native n" */

/* Reads words of the stack; returns the index of the first but one that is an
 * address of code, 0 if there is none. */
__noinline u32 hotspot_scan(struct hotspot_process *p, struct hotspot_scratch *s, u64 from)
{
	u32 found = 0;

	if (!p || !s || !read_user(s->slots, sizeof(s->slots), from))
		return 0;
	for (int i = SCAN_WORDS - 1; i > 0; i--) {
		if (in_code(p, plain_address(s->slots[i])))
			found = i;
	}
	return found;
}

/* Where the caller is, of a frame of the given size. */
__noinline int hotspot_sized(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s, u64 size,
			     u32 java)
{
	u64 cfa, ra, fp;

	if (!st || !p || !s)
		return STEP_GUESS;
	cfa = st->sp + size;

	if (!read_stack(st, cfa - 16, &fp) || !read_stack(st, cfa - 8, &ra))
		return error(s, RTERR_READ);
	ra = plain_address(ra);
	if (java && !in_code(p, ra) && !st->rt[FROZEN_ENTRY]) {
		/* Java is called by Java, the interpreter or a stub. If it is not, the
		 * code has pushed something for a call of its own. */
		u32 found = hotspot_scan(p, s, cfa - 8);
		if (!found)
			return error(s, RTERR_STACK);
		ra = plain_address(s->slots[found & (SCAN_WORDS - 1)]);
		fp = s->slots[(found - 1) & (SCAN_WORDS - 1)];
		cfa += found * 8;
	}
	return caller(s, cfa, ra, fp, cfa - 16);
}

/* A frame that has not been made yet, or is gone again: only the return address
 * is on the stack, below it as much as pushed says. */
static __always_inline int bare_frame(struct unwind_state *st, struct hotspot_scratch *s, u64 pushed)
{
	u64 ra, fp = st->fp;

#if defined(__TARGET_ARCH_arm64)
	if (!st->regs_valid)
		return error(s, RTERR_STACK);
	ra = st->lr;
	return caller(s, st->sp + pushed, ra, fp, 0);
#else
	if (pushed && !read_stack(st, st->sp, &fp))
		return error(s, RTERR_READ);
	if (!read_stack(st, st->sp + pushed, &ra))
		return error(s, RTERR_READ);
	return caller(s, st->sp + pushed + 8, ra, fp, 0);
#endif
}

#define FRAME_WHOLE 0 /* as the header says */
#define FRAME_BARE 1
#define FRAME_PUSHED 2 /* the caller's frame pointer is on top */
#define FRAME_NOT_FP 3 /* whole, but for the caller's frame pointer */

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

/* How much of its frame a compiled method has at an interrupted instruction. Not
 * static, so that it is verified once and not on every way to it. */
__noinline int hotspot_frame_state(u64 pc, u32 complete)
{
	u64 text[4];

	/* From some bytes before, to see what has just been done. */
	if (!read_user(text, sizeof(text), pc - 8))
		return complete ? FRAME_WHOLE : FRAME_BARE;
#if defined(__TARGET_ARCH_x86)
	u8 *before = (u8 *)text, *b = before + 7;

	if (!complete) {
		if (b[0] == 0x55 && b[1] == 0x48 && (b[2] == 0x81 || b[2] == 0x83 || b[2] == 0x8b))
			return FRAME_PUSHED; /* push rbp; sub rsp or mov rbp, rsp */
		if (b[1] == 0x48 && b[2] == 0x89 && (b[3] == 0x6c || b[3] == 0xac) && b[4] == 0x24)
			return FRAME_NOT_FP; /* sub rsp; mov [rsp+x], rbp */
		if (b[1] == 0x48 && (b[2] == 0x81 || b[2] == 0x83) && b[3] == 0xec && b[0] == 0xec)
			return FRAME_PUSHED; /* mov rbp, rsp; sub rsp */
		/* cmp [r15+x], y; jne: the check of the method's collector, behind the frame */
		if (b[1] == 0x41 && b[2] == 0x81 && (b[3] == 0x7f || b[3] == 0xbf))
			return FRAME_WHOLE;
		if (b[1] == 0x0f && b[2] == 0x85 && before[0] == 0x41 && before[1] == 0x81 && before[2] == 0x7f)
			return FRAME_WHOLE;
		return FRAME_BARE;
	}
	if (b[1] == 0x48 && b[2] == 0x89 && (b[3] == 0x6c || b[3] == 0xac) && b[4] == 0x24)
		return FRAME_WHOLE;
	if (b[1] == 0x5d && poll_and_return(b + 2))
		return FRAME_PUSHED;
	return poll_and_return(b + 1) ? FRAME_BARE : FRAME_WHOLE;
#else
	if ((u32)text[1] == 0xd65f03c0) /* ret */
		return FRAME_BARE;
	return complete ? FRAME_WHOLE : FRAME_BARE;
#endif
}

static __always_inline int compiled(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s,
				    u64 blob, u64 code, u64 size)
{
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
			if (read_stack(st, st->sp + (s64)(s32)header_u32(s, p->method_orig_pc), &orig) &&
			    orig - code < 1 << 24)
				pc = orig;
		}
	} else {
		how = hotspot_frame_state(pc, complete < 0 || pc - code >= (u64)complete);
	}
	frame(s, HOTSPOT_COMPILED, blob, ((u64)id << 32) | (exact << 31) | ((pc - code) & 0x7fffffff));
#if defined(__TARGET_ARCH_x86)
	u64 ra = 0, up = how == FRAME_PUSHED ? 8 : 0;
	/* What calls a method is code of the heaps. If it seems not to be, the guess
	 * at the frame's state was wrong. */
	if ((how == FRAME_BARE || how == FRAME_PUSHED) && read_stack(st, st->sp + up, &ra) && in_code(p, ra))
		return bare_frame(st, s, up);
#else
	if (how == FRAME_BARE && in_code(p, st->lr))
		return bare_frame(st, s, 0);
#endif
	if (!size)
		return framed(st, s);
	int r = hotspot_sized(st, p, s, size, true);
	if (how == FRAME_NOT_FP)
		s->fp = st->fp;
	return r;
}

#if defined(__TARGET_ARCH_x86)
/* Whether the call that a return address belongs to went to a place shortly before
 * pc, in the same stub. -1: there is no call at all. */
static __always_inline int calls(struct hotspot_process *p, u64 ra, u64 pc)
{
	u64 text;
	u8 *b = (u8 *)&text;

	if (!in_code(p, ra) || !read_u64(ra - 8, &text))
		return -1;
	if (ra - p->interpreter_low < p->interpreter_high - p->interpreter_low)
		return 0; /* it pushes the address and jumps */
	if (b[3] == 0xe8) /* call, and the distance */
		return pc - (ra + (s64)(s32)(text >> 32)) < 1 << 14 ? 1 : -1;
	return b[5] == 0xff || b[6] == 0xff ? 0 : -1;
}

/* How the frame of an interrupted stub looks: some have a frame pointer, some
 * nothing but the return address. */
__noinline int hotspot_stub_state(struct hotspot_process *p, u64 pc, u64 sp, u64 fp)
{
	u64 text, top[2] = {}, framed = 0;
	u8 *before = (u8 *)&text, *b = before + 1;
	int at_fp = -1, at_top;

	if (!p || !read_u64(pc - 1, &text))
		return FRAME_WHOLE;
	if (b[0] == 0xc3 || (b[0] == 0x55 && b[1] == 0x48 && b[2] == 0x8b))
		return FRAME_BARE; /* ret; push rbp */
	if ((before[0] == 0x55 && b[0] == 0x48 && b[1] == 0x8b) || (b[0] == 0x5d && b[1] == 0xc3))
		return FRAME_PUSHED; /* mov rbp, rsp; pop rbp and ret */
	read_user(top, sizeof(top), sp);
	if (fp - sp < 1 << 12 && read_u64(fp + 8, &framed))
		at_fp = calls(p, framed, pc);
	if (at_fp > 0)
		return FRAME_WHOLE;
	at_top = calls(p, top[0], pc);
	if (at_top > 0)
		return FRAME_BARE;
	if (at_fp == 0)
		return FRAME_WHOLE;
	if (at_top == 0)
		return FRAME_BARE;
	return calls(p, top[1], pc) >= 0 ? FRAME_PUSHED : FRAME_WHOLE;
}
#endif

#define NAME_ADAPTER 0x204932432f433249ULL	/* "I2C/C2I " */
#define NAME_VTABLE 0x6320656c62617476ULL	/* "vtable c" */
#define NAME_METHODHANDLE 0x6148646f6874654dULL /* "MethodHa" */
#define NAME_CONTINUATION 0x61756e69746e6f63ULL /* "continua" */
#define NAME_STUBS 14				/* bytes of "StubRoutines (" */

#if defined(__TARGET_ARCH_x86)
/* No frame, and the return address on top of the stack or not far from there. */
static __always_inline int bare_somewhere(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s)
{
	int r = hotspot_sized(st, p, s, 8, true);

	s->fp = st->fp;
	return r;
}
#endif

/* Stubs with no size of frame have set the frame pointer, or have none at all. */
static __always_inline int stub(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s, u64 blob,
				u64 code, u64 size, u64 name, u64 text)
{

	frame(s, HOTSPOT_STUB, blob, (name << 32) | ((st->pc - code) & 0xffffffff));
	if (!st->exact && p->continuation_pc && read_u64(name + NAME_STUBS, &text) && text == NAME_CONTINUATION) {
#if defined(__TARGET_ARCH_x86)
		/* Where frames return to, it first takes its stack pointer from the thread. */
		if (!read_u64(st->pc, &text) || (text & 0xffffff) != 0xa78b49) {
			u64 entry = hotspot_find_entry(st, p, s);
			if (!entry)
				return error(s, RTERR_STACK);
			st->sp = entry;
			st->pc = p->continuation_pc;
			return STEP_SAME;
		}
#endif
		/* The stub itself has not been called by anything. */
		if (hotspot_frozen(st, p))
			s->kind = 0;
		return STEP_SAME;
	}
	if (size && !st->exact)
		return hotspot_sized(st, p, s, size, false);
#if defined(__TARGET_ARCH_x86)
	if (st->exact && (text == NAME_ADAPTER || text == NAME_VTABLE || text == NAME_METHODHANDLE)) {
		/* They pass arguments on. On the way the return address is in rax, and
		 * where it was in r13. */
		u64 ra;
		if (read_stack(st, st->sp, &ra) && !in_code(p, ra) && in_code(p, st->gpr[0]) && st->gpr[13] >= st->sp)
			return caller(s, st->gpr[13], st->gpr[0], st->fp, 0);
		return bare_somewhere(st, p, s);
	}
	if (st->exact) {
		switch (hotspot_stub_state(p, st->pc, st->sp, st->fp)) {
		case FRAME_BARE:
			return bare_frame(st, s, 0);
		case FRAME_PUSHED:
			return bare_frame(st, s, 8);
		}
		if (!size && st->fp - st->sp >= 1 << 12) /* it cannot have set the frame pointer */
			return bare_somewhere(st, p, s);
	}
#else
	if (st->exact && in_code(p, st->lr) && !size)
		return bare_frame(st, s, 0);
#endif
	if (size)
		return hotspot_sized(st, p, s, size, false);
	return framed(st, s);
}

__noinline int hotspot_blob(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s, u64 lookup)
{
	u64 blob, code, size, name, text = 0;

	if (!st || !p || !s)
		return STEP_GUESS;
	blob = hotspot_find_blob(p, s, lookup);
	name = header_u64(s, p->blob_name);
	if (!blob || !read_u64(name, &text)) {
		s->error = RTERR_CODE;
		return STEP_GUESS;
	}
	code = header_u64(s, p->blob_code);
	if (!p->code_is_address)
		code = blob + (u32)code;
	size = (u64)header_u32(s, p->blob_frame_size) * 8;
	if (size > 1 << 20)
		size = 0; /* -1: none */
	if (text == NAME_NMETHOD || text == NAME_NATIVE)
		return compiled(st, p, s, blob, code, size);
	return stub(st, p, s, blob, code, size, name, text);
}

static __always_inline int hotspot_code(struct loop_context *c, u64 lookup)
{
	struct unwind_state *st = c->st;
	u32 key = runtime_record(st), zero = 0;
	struct hotspot_process *p = bpf_map_lookup_elem(&hotspot_processes, &key);
	struct hotspot_scratch *s = bpf_map_lookup_elem(&hotspot_scratch_map, &zero);
	int r;

	if (!p || !s || !in_code(p, lookup))
		return STEP_NATIVE;
	s->kind = s->error = 0;
	if (lookup - p->interpreter_low < p->interpreter_high - p->interpreter_low)
		r = hotspot_interpreted(st, p, s, lookup);
	else
		r = hotspot_blob(st, p, s, lookup);
	if (s->kind)
		push_runtime1(c, s->kind, s->addr, s->word);
	if (s->error)
		push_runtime_error(c, s->error);
	switch (r) {
	case STEP_CALLER:
		if (s->cfa < st->sp || (s->cfa == st->sp && !st->regs_valid)) {
			push_runtime_error(c, RTERR_STACK);
			break;
		}
		if (st->rt[FROZEN_ENTRY]) {
			/* The last frame of a chunk need not have a return address. */
			if (s->ra == p->continuation_pc || !in_code(p, s->ra)) {
				hotspot_frozen(st, p);
				return STEP_AGAIN;
			}
			if (s->ra - p->interpreter_low < p->interpreter_high - p->interpreter_low)
				s->fp = s->fp_at + s->fp * 8;
		}
		return finish_step(st, s->cfa, s->ra, s->fp);
	case STEP_GUESS:
		return step_guess(c);
	case STEP_SAME:
		return STEP_AGAIN;
	}
	st->end = END_RUNTIME;
	return STEP_END;
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

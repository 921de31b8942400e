/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_DOTNET_X86_H
#define STROBE_DOTNET_X86_H

/* Unwind information as Windows has it, which .NET uses everywhere. */

struct runtime_function {
	u32 begin, end, unwind;
};

static __always_inline bool in_function(struct runtime_function *rf, u64 rva)
{
	return rva >= rf->begin && rva < rf->end;
}

static __always_inline u32 function_cookie(struct runtime_function *rf)
{
	return mix(rf->end, rf->unwind, rf->begin);
}

#define UNWIND_CHAINED 4 /* in the flags: the information of another function follows */
#define MAX_CHAIN      4
#define MAX_CODES      48 /* of 2 bytes; the buffer has 96 bytes */

#define OP_PUSH		0
#define OP_ALLOC_LARGE	1
#define OP_ALLOC_SMALL	2
#define OP_SET_FP	3
#define OP_SAVE		4
#define OP_SAVE_FAR	5
#define OP_EPILOG	6
#define OP_SPARE	7
#define OP_SAVE_XMM	8
#define OP_SAVE_XMM_FAR 9
#define OP_MACHINE	10
#define OP_SET_FP_LARGE 11 /* .NET's own */

#define REG_RBP 5

/* Below, s->sp is the stack pointer after what has been undone, relative to the stack
 * pointer or to the frame pointer of now, and s->saved the place of rbp, likewise. */

static __always_inline u16 unwind_code(struct dotnet_scratch *s, u32 i)
{
	u16 *codes = (u16 *)s->buffer;

	return codes[i & 63];
}

static long code_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u32 at = s->index;

	if (at >= s->n)
		return 1;
	u32 code = unwind_code(s, at), x = unwind_code(s, at + 1);
	u32 op = (code >> 8) & 15, info = code >> 12;
	u32 far = x | (u32)unwind_code(s, at + 2) << 16;
	u32 slots = 1, size = 0, place = 0;
	bool rbp = false;

	switch (op) {
	case OP_PUSH:
		rbp = info == REG_RBP;
		size = 8;
		break;
	case OP_ALLOC_LARGE:
		slots = info ? 3 : 2;
		size = info ? far : x * 8;
		break;
	case OP_ALLOC_SMALL:
		size = info * 8 + 8;
		break;
	case OP_SAVE:
		rbp = info == REG_RBP;
		place = x * 8;
		slots = 2;
		break;
	case OP_SAVE_FAR:
		rbp = info == REG_RBP;
		place = far;
		slots = 3;
		break;
	case OP_SAVE_XMM:
		slots = 2;
		break;
	case OP_SPARE:
	case OP_SAVE_XMM_FAR:
	case OP_SET_FP_LARGE:
		slots = 3;
		break;
	}
	s->index = at + slots;
	if ((code & 255) > s->prolog)
		return 0;
	if (op == OP_SET_FP || op == OP_SET_FP_LARGE) {
		s->by_fp = 1;
		s->sp = -((op == OP_SET_FP ? s->frame >> 4 : far) * 16);
		if ((s->frame & 15) != REG_RBP)
			s->failed = 1;
	}
	if (rbp) {
		s->saved = s->sp + place;
		s->saved_by_fp = s->by_fp;
		s->has_saved = 1;
	}
	if (op == OP_MACHINE || op > OP_SET_FP_LARGE)
		s->failed = 1;
	s->sp += size;
	return 0;
}

/* One function's information; more than one where they are chained. */
static long info_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	struct {
		u8 version, prolog, codes, frame;
	} head;
	u32 next;

	s->failed = 1;
	if (!read_user(&head, 4, s->at) || head.codes > MAX_CODES)
		return 1;
	u64 size = (u64)head.codes * 2;
	asm volatile("" : "+r"(size));
	if (size > MAX_CODES * 2 || (size && bpf_probe_read_user(s->buffer, size, (void *)(s->at + 4))))
		return 1;
	s->failed = 0;
	s->index = 0;
	s->n = head.codes;
	s->frame = head.frame;
	bpf_loop(MAX_CODES, code_step, l, 0);
	if (s->failed || !((head.version >> 3) & UNWIND_CHAINED))
		return 1;
	if (!read_u32(s->at + 4 + ((head.codes + 1) & ~1U) * 2 + 8, &next)) {
		s->failed = 1;
		return 1;
	}
	s->at = s->base + (next & ~1U);
	s->prolog = ~0U; /* all of it has been done */
	return 0;
}

/* The end of a function: what is left of it is carried out. */
#define EPILOG_BYTES 40

static __always_inline u32 epilog_byte(struct dotnet_scratch *s, u32 i)
{
	u8 *b = (u8 *)s->buffer;

	return b[i & 127];
}

static long epilog_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u32 at = s->index;
	u32 b0 = epilog_byte(s, at), b1 = epilog_byte(s, at + 1), b2 = epilog_byte(s, at + 2), b3 = epilog_byte(s, at + 3);
	u32 imm = b3 | epilog_byte(s, at + 4) << 8 | epilog_byte(s, at + 5) << 16 | epilog_byte(s, at + 6) << 24;

	if (at > EPILOG_BYTES - 8)
		return 1;
	if (b0 == 0xc3 || (b0 == 0xf3 && b1 == 0xc3)) { /* ret */
		s->found = 1;
		return 1;
	}
	if ((b0 & 0xf8) == 0x58 && b0 != 0x5c) { /* pop */
		if (b0 == 0x5d) {
			s->saved = s->sp;
			s->saved_by_fp = s->by_fp;
			s->has_saved = 1;
		}
		s->sp += 8;
		s->index = at + 1;
		return 0;
	}
	u32 op = b0 << 16 | b1 << 8 | b2;
	if (b0 == 0x41 && (b1 & 0xf8) == 0x58) {
		s->sp += 8;
		s->index = at + 2;
	} else if (op == 0xc5f877) { /* vzeroupper */
		s->index = at + 3;
	} else if ((op & 0xfffff8) == 0x48ffe0) { /* jump to another method */
		s->found = 1;
		return 1;
	} else if (op == 0x4883c4) { /* add rsp, imm8 */
		s->sp += (s32)(signed char)b3;
		s->index = at + 4;
	} else if (op == 0x4881c4) { /* add rsp, imm32 */
		s->sp += (s32)imm;
		s->index = at + 7;
	} else if (op == 0x488d65) { /* lea rsp, [rbp+imm8] */
		s->by_fp = 1;
		s->sp = (s32)(signed char)b3;
		s->index = at + 4;
	} else if (op == 0x488da5) { /* lea rsp, [rbp+imm32] */
		s->by_fp = 1;
		s->sp = (s32)imm;
		s->index = at + 7;
	} else {
		return 1;
	}
	return 0;
}

static __always_inline void begin_unwind(struct dotnet_scratch *s)
{
	s->sp = s->saved = 0;
	s->by_fp = s->has_saved = s->saved_by_fp = s->failed = s->found = 0;
	s->index = 0;
}

static __always_inline void set_rule(struct dotnet_scratch *s, struct dotnet_frame *f)
{
	f->by_fp = s->by_fp;
	f->cfa = s->sp + 8;
	f->saved = s->has_saved ? f->cfa - s->saved : 0;
}

static __always_inline bool in_epilog(struct dotnet_loop *l, struct dotnet_frame *f, u64 pc)
{
	struct dotnet_scratch *s = l->s;

	begin_unwind(s);
	if (!read_user(s->buffer, EPILOG_BYTES, pc))
		return false;
	bpf_loop(16, epilog_step, l, 0);
	if (!s->found || (s->has_saved && s->saved_by_fp != s->by_fp))
		return false;
	set_rule(s, f);
	return true;
}

/* Finds how to leave the function at pc. */
static __always_inline bool unwind_rule_of(struct loop_context *c, struct dotnet_loop *l, struct dotnet_frame *f, u64 base,
					   struct runtime_function *rf, u64 pc)
{
	struct dotnet_scratch *s = l->s;

	if (c->st->exact && in_epilog(l, f, pc))
		return true;
	begin_unwind(s);
	s->base = base;
	s->at = base + (rf->unwind & ~1U);
	s->prolog = pc - base - rf->begin;
	bpf_loop(MAX_CHAIN, info_step, l, 0);
	if (s->failed || (s->has_saved && s->saved_by_fp != s->by_fp)) {
		/* The function is known, the way out of it is not. */
		f->guess = 1;
		f->fixed = 0;
		return true;
	}
	set_rule(s, f);
	return true;
}

static __always_inline int leave_frame(struct unwind_state *st, struct dotnet_frame *f)
{
	u64 ra, fp = st->fp, cfa = (f->by_fp ? st->fp : st->sp) + (s64)f->cfa;

	if (cfa <= st->sp)
		return fail(st, END_NO_PROGRESS);
	if (f->saved && !read_stack(st, cfa - (s64)f->saved, &fp))
		return fail(st, END_STACK_READ);
	if (!read_stack(st, cfa - 8, &ra))
		return fail(st, END_STACK_READ);
	return finish_step(st, cfa, ra, fp);
}

/* A stub that was interrupted has the return address on top of the stack. */
static __always_inline int leave_stub(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u64 ra;

	if (!st->exact)
		return step_guess(c);
	if (!read_stack(st, st->sp, &ra))
		return fail(st, END_STACK_READ);
	st->heuristic = 1;
	return finish_step(st, st->sp + 8, ra, st->fp);
}

/* Whether a call instruction stands before what the top of the stack points to. */
static __always_inline bool called_from_top(struct unwind_state *st)
{
	u64 ra;
	u8 b[8];

	if (!read_stack(st, st->sp, &ra) || !read_user(b, 8, ra - 8))
		return false;
	return b[3] == 0xe8 || (b[2] == 0xff && b[3] == 0x15) || (b[6] == 0xff && (b[7] & 0xf8) == 0xd0) ||
	       (b[5] == 0xff && (b[6] & 0xf8) == 0x50);
}

#endif

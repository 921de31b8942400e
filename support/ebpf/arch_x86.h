/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_ARCH_X86_H
#define STROBE_ARCH_X86_H

#define DWARF_FP 6
#define DWARF_SP 7

/* Offset of the general registers in the ucontext of a signal frame, and their
 * order there: r8..r15, di, si, bp, bx, dx, ax, cx, sp, ip (asm/sigcontext.h). */
#define SIGFRAME_REGS 40
#define SIG_DI	      8
#define SIG_SI	      9
#define SIG_BP	      10
#define SIG_BX	      11
#define SIG_DX	      12
#define SIG_AX	      13
#define SIG_CX	      14
#define SIG_SP	      15
#define SIG_IP	      16
#define SIG_WORDS     17

/* Offsets in the Go runtime's structures, the same since Go 1.5: g.m, m.g0,
 * g.sched.sp; and of the g pointer in the thread's local storage. */
#define GO_TLS_G      -8
#define GO_G_M	      48
#define GO_M_G0	      0
#define GO_G_SCHED_SP 56

#define SET_GPRS(st, r)              \
	do {                                \
		(st)->gpr[0] = (r)->ax;     \
		(st)->gpr[1] = (r)->dx;     \
		(st)->gpr[2] = (r)->cx;     \
		(st)->gpr[3] = (r)->bx;     \
		(st)->gpr[4] = (r)->si;     \
		(st)->gpr[5] = (r)->di;     \
		(st)->gpr[6] = (r)->bp;     \
		(st)->gpr[7] = (r)->sp;     \
		(st)->gpr[8] = (r)->r8;     \
		(st)->gpr[9] = (r)->r9;     \
		(st)->gpr[10] = (r)->r10;   \
		(st)->gpr[11] = (r)->r11;   \
		(st)->gpr[12] = (r)->r12;   \
		(st)->gpr[13] = (r)->r13;   \
		(st)->gpr[14] = (r)->r14;   \
		(st)->gpr[15] = (r)->r15;   \
		(st)->pc = (r)->ip;         \
		(st)->sp = (r)->sp;         \
		(st)->fp = (r)->bp;         \
		(st)->regs_valid = 1;       \
	} while (0)

static __always_inline bool context_is_user(volatile struct perf_context *ctx)
{
	return (ctx->cs & 3) == 3;
}

/* Registers of the process: those interrupted, or those it entered the kernel with. */
static __always_inline int load_user_regs(struct unwind_state *st, struct perf_context *pctx, struct task_struct *task)
{
	volatile struct perf_context *ctx = pctx;
	u64 cs;

	st->exact = 1;
	if (context_is_user(ctx)) {
		SET_GPRS(st, ctx);
		cs = ctx->cs;
	} else {
		struct pt_regs___kernel *regs = (void *)bpf_task_pt_regs(task);
		if (!regs)
			return END_NO_REGS;
		SET_GPRS(st, regs);
		/* In a system call the address is where it returns to. */
		if ((s64)regs->orig_ax >= 0)
			st->exact = 0;
		/* cs stands right behind ip, in every version of the structure. */
		bpf_probe_read_kernel(&cs, sizeof(cs), (u64 *)&regs->ip + 1);
		cs &= 0xffff;
		if ((cs & 3) != 3)
			return END_NO_USER;
	}
	if (cs == 0x23) /* __USER32_CS */
		return END_COMPAT;
	return END_COMPLETE;
}

static __always_inline bool restore_signal_frame(struct unwind_state *st)
{
	u64 *w = st->window;

	st->window_base = 0;
	if (bpf_probe_read_user(w, SIG_WORDS * 8, (void *)(st->sp + SIGFRAME_REGS)))
		return false;
	st->gpr[0] = w[SIG_AX];
	st->gpr[1] = w[SIG_DX];
	st->gpr[2] = w[SIG_CX];
	st->gpr[3] = w[SIG_BX];
	st->gpr[4] = w[SIG_SI];
	st->gpr[5] = w[SIG_DI];
#pragma unroll
	for (int i = 0; i < 8; i++)
		st->gpr[8 + i] = w[i];
	st->gpr[DWARF_FP] = st->fp = w[SIG_BP];
	st->gpr[DWARF_SP] = st->sp = w[SIG_SP];
	st->pc = w[SIG_IP];
	st->regs_valid = 1;
	st->exact = 1;
	return true;
}

/* The stack pointer that Go's scheduler saved when a callback from C left the
 * thread's own stack: TLS -> g -> m -> g0 -> sched.sp. */
static __always_inline bool go_system_stack(u64 *sp)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 p = task->thread.fsbase + GO_TLS_G;

	return !bpf_probe_read_user(&p, 8, (void *)p) && !bpf_probe_read_user(&p, 8, (void *)(p + GO_G_M)) &&
	       !bpf_probe_read_user(&p, 8, (void *)(p + GO_M_G0)) &&
	       !bpf_probe_read_user(sp, 8, (void *)(p + GO_G_SCHED_SP));
}

#define STEP_OK	  0
#define STEP_STOP 1 /* st->end says why */

static __always_inline int finish_step(struct unwind_state *st, u64 cfa, u64 ra, u64 fp)
{
	st->sp = cfa;
	st->fp = fp;
	st->pc = ra;
	st->exact = 0;
	st->regs_valid = 0;
	if (!ra) {
		st->end = END_COMPLETE;
		return STEP_STOP;
	}
	return STEP_OK;
}

static __always_inline int fail(struct unwind_state *st, u8 end)
{
	st->end = end;
	return STEP_STOP;
}

/* Steps by the frame pointer; switched: onto another stack. */
static __always_inline int step_frame_pointer(struct unwind_state *st, bool switched)
{
	u64 ra, fp, cfa = st->fp + 16;

	if (!st->fp) /* the ABI's mark of the outermost frame */
		return fail(st, END_COMPLETE);
	if ((st->fp & 7) || (!switched && st->fp < st->sp))
		return fail(st, END_FRAME_POINTER);
	if (!read_stack(st, st->fp, &fp) || !read_stack(st, st->fp + 8, &ra))
		return fail(st, END_FRAME_POINTER);
	return finish_step(st, cfa, ra, fp);
}

/* Code without any information. A leaf often has its return address on top of
 * the stack; everything else is tried by the frame pointer. The next frame
 * verifies that the guess landed in code. */
static __always_inline int step_guess(struct loop_context *c)
{
	struct unwind_state *st = c->st;

	st->heuristic = 1;
	return step_frame_pointer(st, false);
}

static __always_inline int step_rule(struct unwind_state *st, struct unwind_rule *r)
{
	u64 cfa, ra, fp = st->fp, sp = st->sp;
	bool switched = false;

	if (r->cfa_kind == CFA_GO_CALLBACK) {
		if (!go_system_stack(&sp))
			return fail(st, END_STACK_READ);
		switched = true;
		cfa = sp;
	} else if (r->cfa_reg == DWARF_SP) {
		cfa = sp;
	} else if (r->cfa_reg == DWARF_FP) {
		cfa = fp;
	} else if (st->regs_valid) {
		cfa = st->gpr[r->cfa_reg & 15];
	} else {
		return fail(st, END_REGISTER);
	}
	cfa += r->cfa_off;
	if (r->cfa_kind == CFA_DEREF) {
		if (!read_stack(st, cfa, &cfa))
			return fail(st, END_STACK_READ);
		cfa += r->cfa_off2;
	}
	if (!switched && (cfa < sp || (cfa == sp && !st->regs_valid)))
		return fail(st, END_NO_PROGRESS);

	switch (r->fp_kind) {
	case FP_CFA_OFFSET:
		if (!read_stack(st, cfa + r->fp_off, &fp))
			return fail(st, END_STACK_READ);
		break;
	case FP_FP_OFFSET:
		if (!read_stack(st, st->fp + r->fp_off, &fp))
			return fail(st, END_STACK_READ);
		break;
	}
	if (r->ra_kind == RA_UNDEFINED)
		return fail(st, END_COMPLETE);
	if (r->ra_kind == RA_REGISTER) {
		if (!st->regs_valid)
			return fail(st, END_REGISTER);
		ra = st->gpr[r->ra_off & 15];
	} else {
		if (!read_stack(st, cfa + (r->ra_kind == RA_CFA_OFFSET ? r->ra_off : -8), &ra))
			return fail(st, END_STACK_READ);
	}
	return finish_step(st, cfa, ra, fp);
}

static __always_inline int step_frame(struct loop_context *c, u32 rule, u64 pc)
{
	struct unwind_state *st = c->st;
	u64 ra, fp = st->fp;

	if (!(rule & 0x8000)) {
		u64 cfa = ((rule & 0x4000) ? st->fp : st->sp) + ((rule >> 5) & 0x1ff) * 8;
		u32 slot = rule & 31;

		if (cfa <= st->sp)
			return fail(st, END_NO_PROGRESS);
		if (slot && !read_stack(st, cfa - 8 - 8 * slot, &fp))
			return fail(st, END_STACK_READ);
		if (!read_stack(st, cfa - 8, &ra))
			return fail(st, END_STACK_READ);
		return finish_step(st, cfa, ra, fp);
	}

	u32 index = rule & 0x7fff;
	u64 cfa;
	switch (index) {
	case RULE_INVALID:
		return step_guess(c);
	case RULE_STOP:
		return fail(st, END_COMPLETE);
	case RULE_FP:
		return step_frame_pointer(st, false);
	case RULE_GO_SWITCH:
		return step_frame_pointer(st, true);
	case RULE_PLT:
		cfa = st->sp + 8 + ((pc & 15) >= 11) * 8;
		if (!read_stack(st, cfa - 8, &ra))
			return fail(st, END_STACK_READ);
		return finish_step(st, cfa, ra, fp);
	case RULE_SIGNAL:
		if (!restore_signal_frame(st))
			return fail(st, END_STACK_READ);
		return STEP_OK;
	}
	struct unwind_rule *r = bpf_map_lookup_elem(&rules, &index);
	if (!r)
		return fail(st, END_TABLE_CORRUPT);
	return step_rule(st, r);
}

#endif

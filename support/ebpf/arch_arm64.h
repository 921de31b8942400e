/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_ARCH_ARM64_H
#define STROBE_ARCH_ARM64_H

#define DWARF_FP 29
#define DWARF_LR 30
#define DWARF_SP 31

/* uc_mcontext in the ucontext behind siginfo (128 bytes) on the stack:
 * fault_address, then regs[31], sp, pc (asm/sigcontext.h). */
#define SIGFRAME_UCONTEXT 128
#define SIGFRAME_REGS	  (SIGFRAME_UCONTEXT + 176 + 8)

#define PSTATE_MODE_MASK 0xf
#define PSTATE_32BIT	 0x10

/* struct pt_regs, behind user_pt_regs. */
struct pt_regs___syscall {
	s32 syscallno; /* -1 outside of system calls */
} __attribute__((preserve_access_index));

/* runtime.g.stack.hi: has not moved since Go 1.5. */
#define GO_G_STACK_HI 8

#define STEP_OK	  0
#define STEP_STOP 1 /* st->end says why */

/* Bits of an address that pointer authentication does not use. */
const volatile u64 address_mask = 0x0000ffffffffffffULL;

static __always_inline int fail(struct unwind_state *st, u8 end)
{
	st->end = end;
	return STEP_STOP;
}

static __always_inline bool context_is_user(volatile struct perf_context *ctx)
{
	return !(ctx->pstate & PSTATE_MODE_MASK);
}

static __always_inline int load_user_regs(struct unwind_state *st, struct perf_context *pctx, struct task_struct *task)
{
	volatile struct perf_context *ctx = pctx;
	u64 pstate;

	st->exact = 1;
	if (context_is_user(ctx)) {
#pragma unroll
		for (int i = 0; i < 31; i++)
			st->gpr[i] = ctx->regs[i];
		st->sp = ctx->sp;
		st->pc = ctx->pc;
		pstate = ctx->pstate;
	} else {
		/* The kernel's pt_regs begins with user_pt_regs. */
		struct perf_context *regs = (void *)bpf_task_pt_regs(task);
		if (!regs || bpf_probe_read_kernel(st->gpr, 31 * 8, regs))
			return END_NO_REGS;
		if (bpf_probe_read_kernel(&st->sp, 8, &regs->sp) || bpf_probe_read_kernel(&st->pc, 8, &regs->pc) ||
		    bpf_probe_read_kernel(&pstate, 8, &regs->pstate))
			return END_NO_REGS;
		if (pstate & PSTATE_MODE_MASK)
			return END_NO_USER;
		/* In a system call the address is where it returns to. */
		struct pt_regs___syscall *call = (void *)regs;
		s32 number;
		if (!bpf_core_read(&number, sizeof(number), &call->syscallno) && number >= 0)
			st->exact = 0;
	}
	if (pstate & PSTATE_32BIT)
		return END_COMPAT;
	st->fp = st->gpr[DWARF_FP];
	st->lr = st->gpr[DWARF_LR] & address_mask;
	st->regs_valid = 1;
	return END_COMPLETE;
}

static __always_inline int finish_step(struct unwind_state *st, u64 cfa, u64 ra, u64 fp)
{
	st->sp = cfa;
	st->fp = fp;
	st->pc = ra & address_mask;
	st->exact = 0;
	st->regs_valid = 0;
	if (!st->pc) {
		st->end = END_COMPLETE;
		return STEP_STOP;
	}
	return STEP_OK;
}

static __always_inline int step_frame_pointer(struct unwind_state *st, bool switched)
{
	u64 ra, fp;

	if (!st->fp)
		return fail(st, END_COMPLETE);
	if ((st->fp & 7) || (!switched && st->fp < st->sp))
		return fail(st, END_FRAME_POINTER);
	if (!read_stack(st, st->fp, &fp) || !read_stack(st, st->fp + 8, &ra))
		return fail(st, END_FRAME_POINTER);
	return finish_step(st, st->fp + 16, ra, fp);
}

/* A leaf without any information has its return address in the link register
 * if that points into code and its frame record is its caller's. */
static __always_inline int step_guess(struct loop_context *c)
{
	struct unwind_state *st = c->st;

	st->heuristic = 1;
	return step_frame_pointer(st, false);
}

static __always_inline int restore_signal_frame(struct unwind_state *st)
{
	u64 base = st->sp + SIGFRAME_REGS;

	st->window_base = 0;
	if (bpf_probe_read_user(st->gpr, 31 * 8, (void *)base) ||
	    bpf_probe_read_user(&st->pc, 8, (void *)(base + 32 * 8)) ||
	    bpf_probe_read_user(&st->sp, 8, (void *)(base + 31 * 8)))
		return fail(st, END_STACK_READ);
	st->fp = st->gpr[DWARF_FP];
	st->lr = st->gpr[DWARF_LR] & address_mask;
	st->regs_valid = 1;
	st->exact = 1;
	return STEP_OK;
}

/* Go's asmcgocall has left the goroutine's stack. What it keeps on the system stack
 * are g and how deep g's stack was, or 0 and the stack pointer if it did not leave. */
static __always_inline int step_go_call(struct unwind_state *st)
{
	u64 g, sp, hi, ra, fp;

	if (!read_stack(st, st->sp, &g) || !read_stack(st, st->sp + 8, &sp))
		return fail(st, END_STACK_READ);
	if (g) {
		if (!read_stack(st, g + GO_G_STACK_HI, &hi))
			return fail(st, END_STACK_READ);
		sp = hi - sp;
	}
	if (!read_stack(st, sp - 8, &fp) || !read_stack(st, sp, &ra))
		return fail(st, END_STACK_READ);
	return finish_step(st, sp + 16, ra, fp);
}

/* The signal handler of Go made it look as if the interrupted code had called this,
 * whose return address is thus no return address, and pushed its link register. */
static __always_inline int step_go_preempt(struct unwind_state *st, u64 cfa, u64 ra, u64 fp)
{
	u64 lr;

	if (!read_stack(st, cfa, &lr))
		return fail(st, END_STACK_READ);
	st->lr = lr & address_mask;
	int r = finish_step(st, cfa + 16, ra, fp);
	st->exact = 1;
	st->regs_valid = 1;
	return r;
}

static __always_inline int step_rule(struct unwind_state *st, struct unwind_rule *r)
{
	u64 cfa, ra, fp = st->fp;

	if (r->cfa_kind == CFA_GO_CALLBACK)
		return step_frame_pointer(st, true);
	if (r->cfa_kind == CFA_GO_CALL)
		return step_go_call(st);
	if (r->cfa_reg == DWARF_SP)
		cfa = st->sp;
	else if (r->cfa_reg == DWARF_FP)
		cfa = st->fp;
	else if (st->regs_valid)
		cfa = st->gpr[r->cfa_reg & 31];
	else
		return fail(st, END_REGISTER);
	cfa += r->cfa_off;
	if (r->cfa_kind == CFA_DEREF) {
		if (!read_stack(st, cfa, &cfa))
			return fail(st, END_STACK_READ);
		cfa += r->cfa_off2;
	}
	if (cfa < st->sp || (cfa == st->sp && !st->regs_valid))
		return fail(st, END_NO_PROGRESS);
	if (r->fp_kind == FP_CFA_OFFSET && !read_stack(st, cfa + r->fp_off, &fp))
		return fail(st, END_STACK_READ);
	if (r->fp_kind == FP_FP_OFFSET && !read_stack(st, st->fp + r->fp_off, &fp))
		return fail(st, END_STACK_READ);

	switch (r->ra_kind) {
	case RA_UNDEFINED:
		return fail(st, END_COMPLETE);
	case RA_CFA_OFFSET:
		if (!read_stack(st, cfa + r->ra_off, &ra))
			return fail(st, END_STACK_READ);
		break;
	case RA_REGISTER:
		if (!st->regs_valid)
			return fail(st, END_REGISTER);
		ra = st->gpr[r->ra_off & 31];
		break;
	default: /* in the link register, which only the leaf has */
		if (!st->regs_valid)
			return fail(st, END_REGISTER);
		ra = st->lr;
	}
	if (r->cfa_kind == CFA_GO_PREEMPT)
		return step_go_preempt(st, cfa, ra, fp);
	return finish_step(st, cfa, ra, fp);
}

static __always_inline int step_frame(struct loop_context *c, u32 rule, u64 pc)
{
	struct unwind_state *st = c->st;

	if (!(rule & 0x8000)) {
		u64 offset = ((rule >> 5) & 0x1ff) * 8;
		u64 cfa = ((rule & 0x4000) ? st->fp : st->sp) + offset;
		u32 slot = rule & 31;
		u64 fp = st->fp, ra = st->lr;

		if (cfa < st->sp || (cfa == st->sp && !st->regs_valid))
			return fail(st, END_NO_PROGRESS);
		if (slot) {
			u64 record = cfa - (slot == 1 ? offset : 16 * (u64)(slot - 1));
			if (!read_stack(st, record, &fp) || !read_stack(st, record + 8, &ra))
				return fail(st, END_STACK_READ);
		} else if (!st->regs_valid) {
			return fail(st, END_REGISTER);
		}
		return finish_step(st, cfa, ra, fp);
	}

	u32 index = rule & 0x7fff;
	switch (index) {
	case RULE_INVALID:
		return step_guess(c);
	case RULE_STOP:
		return fail(st, END_COMPLETE);
	case RULE_FP:
		return step_frame_pointer(st, false);
	case RULE_GO_SWITCH:
		return step_frame_pointer(st, true);
	case RULE_PLT: /* nothing is on the stack yet */
		if (!st->regs_valid)
			return fail(st, END_REGISTER);
		return finish_step(st, st->sp, st->lr, st->fp);
	case RULE_SIGNAL:
		return restore_signal_frame(st);
	}
	struct unwind_rule *r = bpf_map_lookup_elem(&rules, &index);
	if (!r)
		return fail(st, END_TABLE_CORRUPT);
	return step_rule(st, r);
}

#endif

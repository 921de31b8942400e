/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_DOTNET_ARM64_H
#define STROBE_DOTNET_ARM64_H

/* Methods keep a chain of frame records here, so that the unwind information is
 * not read. */

struct runtime_function {
	u32 begin, unwind;
};

static __always_inline bool in_function(struct runtime_function *rf, u64 rva)
{
	return rva >= rf->begin;
}

static __always_inline u32 function_cookie(struct runtime_function *rf)
{
	return mix(rf->unwind, rf->begin, 0);
}

static __always_inline bool unwind_rule_of(struct loop_context *c, struct dotnet_loop *l, struct dotnet_frame *f, u64 base,
					   struct runtime_function *rf, u64 pc)
{
	return true;
}

static __always_inline int leave_frame(struct unwind_state *st, struct dotnet_frame *f)
{
	return step_frame_pointer(st, false);
}

/* A stub that was interrupted has its return address in the link register. */
static __always_inline int leave_stub(struct loop_context *c)
{
	struct unwind_state *st = c->st;

	if (!st->exact || !st->regs_valid)
		return step_guess(c);
	st->heuristic = 1;
	return finish_step(st, st->sp, st->lr, st->fp);
}

static __always_inline bool called_from_top(struct unwind_state *st)
{
	return false;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_HOTSPOT_INTERPRETER_H
#define STROBE_HOTSPOT_INTERPRETER_H

/* Frames of the interpreter: its state is in slots below the frame pointer. */

/* Words below and above the frame pointer that are read. */
#define SLOTS_BELOW 10
#define SLOTS (SLOTS_BELOW + 2)

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

/* Names an interpreted frame. */
static __always_inline void name_method(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s,
					u64 method, u64 bcp)
{
	u64 const_method, constants, sizes, bci, cookie;

	if (!read_u64(method + p->method_const, &const_method) ||
	    !read_u64(const_method + p->const_constants, &constants) ||
	    !read_u64(const_method + p->const_code_size, &sizes)) {
		s->error = RTERR_BAD_FRAME;
		return;
	}
	/* The size of the code, then indexes of name and signature, and the number
	 * in the class, 16 bits each. */
	u64 first = const_method + p->const_bytecodes;
	if (st->regs_valid && bcp && bytecode_register(st) - first < (sizes & 0xffff))
		bcp = bytecode_register(st);
	bci = bcp - first;
	if (bci >= (sizes & 0xffff))
		bci = 0xffff;
	cookie = (const_method ^ (constants << 7) ^ sizes) * 0xff51afd7ed558ccdULL;
	frame(s, HOTSPOT_INTERPRETED, method, bci | (cookie & ~0xffffULL));
}

/* The entry to methods that an address lies in; 0 for one that makes no frame. */
static __always_inline struct hotspot_entry *find_entry(struct hotspot_process *p, u64 pc)
{
	struct hotspot_entry *e = 0;

#pragma unroll
	for (int i = 0; i < MAX_ENTRIES; i++) {
		if (pc - p->entry[i].start < p->entry[i].size)
			e = &p->entry[i];
	}
	return e;
}

/* Before the interpreter's frame is whole. Returns STEP_SAME where it is. */
__noinline int hotspot_entering(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s,
				u64 lookup)
{
	if (!st || !p || !s)
		return STEP_GUESS;
	struct hotspot_entry *e = find_entry(p, lookup);
	u64 ra, fp = st->fp, sp = st->sp;

	if (!e) {
		/* A method that is done by a stub: the caller's address is on top. */
		if (st->exact)
			return STEP_SAME;
		if (!read_stack(st, sp, &ra))
			return error(s, RTERR_READ);
		return caller(s, sp + 8, ra, fp, 0);
	}
#if defined(__TARGET_ARCH_x86)
	u64 at = st->pc - e->start;

	if (!st->exact || at >= e->done)
		return STEP_SAME;
	/* rbx has the method, r13 the caller's stack pointer. */
	name_method(st, p, s, st->gpr[3], 0);
	if (at > e->popped && at < e->pushed)
		return caller(s, st->gpr[13], st->gpr[0], fp, 0);
	u64 up = 0;
	if (at > e->pushed) {
		if (at > e->pushed + 1)
			sp = st->fp;
		if (!read_stack(st, sp, &fp))
			return error(s, RTERR_READ);
		up = 8;
	}
	if (!read_stack(st, sp + up, &ra))
		return error(s, RTERR_READ);
	sp += up + 8;
	if (at <= e->pushed + 4 && st->gpr[13] > sp)
		sp = st->gpr[13];
	return caller(s, sp, ra, fp, 0);
#else
	return STEP_SAME;
#endif
}

__noinline int hotspot_interpreted(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s,
				   u64 lookup)
{
	u64 fp, sp;

	if (!st || !p || !s)
		return STEP_GUESS;
	fp = st->fp;
	if (lookup - p->entries_low < p->entries_high - p->entries_low) {
		int r = hotspot_entering(st, p, s, lookup);
		if (r != STEP_SAME)
			return r;
	}
	if ((fp & 7) || fp < st->sp || bpf_probe_read_user(s->slots, SLOTS * 8, (void *)(fp - SLOTS_BELOW * 8))) {
		/* Just left for code that has no frame pointer? */
		if (st->exact && read_stack(st, st->sp, &sp) && in_code(p, sp))
			return caller(s, st->sp + 8, sp, fp, 0);
		return error(s, RTERR_STACK);
	}
	name_method(st, p, s, slot(s, -(s32)p->slot_method), slot(s, -(s32)p->slot_bcp));
	sp = slot(s, -1);
	if (st->rt[FROZEN_ENTRY]) /* pointers are distances in words there */
		sp = fp + sp * 8;
	if (sp <= fp)
		sp = fp + 16;
	return caller(s, sp, slot(s, 1), slot(s, 0), fp);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_HOTSPOT_FROZEN_H
#define STROBE_HOTSPOT_FROZEN_H

/* Frames of virtual threads that are in the heap, in chunks of stack. */

/* Reads a reference in an object. */
static __always_inline u64 reference(struct hotspot_process *p, u64 at)
{
	u64 v;
	u32 narrow;

	if (p->oop_size == 4)
		return read_u32(at, &narrow) && narrow ? p->oop_base + ((u64)narrow << (p->oop_shift & 31)) : 0;
	if (!read_u64(at, &v))
		return 0;
	/* ZGC: the address begins above the one bit of four, 12 to 15, that is set. */
	if (v >> 48)
		v >>= v & 0x1000 ? 13 : v & 0x2000 ? 14 : v & 0x4000 ? 15 : 16;
	return v;
}

#define MAX_CHUNKS_EMPTY 4

/* While frames are fetched from the heap, the stack below is in disorder. Finds
 * where the frame of enterSpecial is: through the thread, which the stub has in a
 * register that the functions it calls must preserve. So it is there still, or one
 * of them has pushed it. */
__noinline u64 hotspot_find_entry(struct unwind_state *st, struct hotspot_process *p, struct hotspot_scratch *s)
{
	u64 entry, ra, thread;

	if (!st || !p || !s || !p->thread_entry || !read_user(s->slots, sizeof(s->slots), st->sp - sizeof(s->slots)))
		return 0;
#if defined(__TARGET_ARCH_x86)
	s->slots[SCAN_WORDS - 1] = st->gpr[15]; /* was the return address */
#else
	s->slots[SCAN_WORDS - 1] = st->gpr[28];
#endif
	for (int i = SCAN_WORDS - 1; i >= 0; i--) {
		thread = s->slots[i];
		if (!(thread & 7) && thread >> 12 && read_u64(thread + p->thread_entry, &entry) &&
		    entry - st->sp < 1 << 20 && !(entry & 7) && read_u64(entry + p->entry_size + 8, &ra) &&
		    in_code(p, plain_address(ra)))
			return entry;
	}
	return 0;
}

/* The frame returns to where frames of a virtual thread are fetched from the heap,
 * a chunk of stack there. Goes on in it, or with the frame of enterSpecial. */
__noinline int hotspot_frozen(struct unwind_state *st, struct hotspot_process *p)
{
	u64 entry, chunk, at, pc, link = 0;
	u32 sp, size;

	if (!st || !p)
		return 0;
	entry = st->rt[FROZEN_ENTRY];
	if (entry) {
		chunk = reference(p, st->rt[FROZEN_CHUNK] + p->chunk_parent);
	} else {
		entry = st->sp;
		chunk = 0;
		if (p->chunk_stack && read_u64(entry + p->entry_continuation, &chunk) && chunk)
			chunk = reference(p, chunk + p->continuation_tail);
	}
	for (int i = 0; i < MAX_CHUNKS_EMPTY && chunk; i++) {
		if (!read_u32(chunk + p->chunk_sp, &sp) || !read_u32(chunk + p->chunk_size, &size) || size > 1 << 24)
			break;
		at = chunk + p->chunk_stack + (u64)sp * 8;
		if (sp < size && read_u64(at - 8, &pc) && in_code(p, plain_address(pc)) && read_u64(at - 16, &link)) {
			st->rt[FROZEN_ENTRY] = entry;
			st->rt[FROZEN_CHUNK] = chunk;
			st->pc = plain_address(pc);
			st->sp = at;
			st->fp = at - 16 + link * 8;
			return 1;
		}
		chunk = reference(p, chunk + p->chunk_parent);
	}
	st->rt[FROZEN_ENTRY] = 0;
	st->sp = entry;
	st->pc = p->continuation_pc;
	return 0;
}

#endif

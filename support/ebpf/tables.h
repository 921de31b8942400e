/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_TABLES_H
#define STROBE_TABLES_H

/* The epoch that pages in use are stamped with; user space moves it. */
u32 epoch SEC(".data.epoch") = 1;

static __always_inline void request(struct unwind_state *st, u32 type, u32 page)
{
	struct event e = {
		.type = type,
		.tgid = st->tgid,
		.exec_id = st->exec_id,
		.page = page,
		.start = st->map_start,
		.end = st->map_end,
		.sp = st->sp,
	};
	send_event(&e);
}

/* Finds the mapping that holds pc and makes it the current one. */
static __always_inline bool find_mapping(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	struct process *proc = c->proc;

	if (pc - st->map_start < st->map_end - st->map_start)
		return true;

	struct mapping_key key = {.tgid = st->tgid, .chunk = 0};
	/* The last chunk that starts at or below pc, and in it the last mapping: without
	 * branches, as a branch per step would make the verifier follow every path. */
	u64 first = 0, chunks = proc->chunks;
#pragma unroll
	for (int i = 0; i < 5; i++) {
		u64 half = chunks >> 1;
		u64 mid = (first + half) & (MAX_CHUNKS - 1);
		u64 le = ~((s64)(pc - proc->first[mid]) >> 63);
		asm volatile("" : "+r"(le));
		first += half & le;
		chunks -= half;
	}
	key.chunk = first & (MAX_CHUNKS - 1);
	struct mapping_chunk *chunk = bpf_map_lookup_elem(&mappings, &key);
	/* It may have been written since, for mappings that this record does not have. */
	if (!chunk || chunk->version != (u32)proc->exec_vm)
		return false;

	u64 lo = 0, n = chunk->count;
#pragma unroll
	for (int i = 0; i < 5; i++) {
		u64 half = n >> 1;
		u64 mid = (lo + half) & (CHUNK_MAPPINGS - 1);
		u64 le = ~((s64)(pc - chunk->m[mid].start) >> 63);
		asm volatile("" : "+r"(le));
		lo += half & le;
		n -= half;
	}
	struct mapping *m = &chunk->m[lo & (CHUNK_MAPPINGS - 1)];
	u64 size = (u64)m->pages << 12;
	if (pc - m->start >= size)
		return false;
	st->map_start = m->start;
	st->map_end = m->start + size;
	st->map_bias = ((s64)m->pgoff << 12) - (s64)m->start;
	st->exec_id = m->exec_id;

	u32 id = m->exec_id;
	struct executable *exec = bpf_map_lookup_elem(&executables, &id);
	if (!exec)
		return false;
	st->exec = *exec;
	if (id != EXEC_NONE && !(exec->flags & (EXEC_LOADED | EXEC_REQUESTED | EXEC_NO_TABLE))) {
		if (!(__sync_fetch_and_or(&exec->flags, EXEC_REQUESTED) & EXEC_REQUESTED)) {
			count(CTR_PAGE_REQUESTS);
			request(st, EVENT_PAGE_MISS, ((u64)(pc + st->map_bias)) >> UNWIND_PAGE_SHIFT);
		}
	}
	return true;
}

#define ROW_FOUND 0
#define ROW_NONE  1 /* no table: try the frame pointer */
#define ROW_ERROR 2 /* st->end says why */

/* Finds the rule for an offset in the current executable. */
static __always_inline int find_rule(struct unwind_state *st, u64 off, u32 *rule)
{
	if (st->exec_id == EXEC_NONE || (st->exec.flags & EXEC_NO_TABLE))
		return ROW_NONE;
	if (!(st->exec.flags & EXEC_LOADED)) {
		st->end = END_TABLE_MISS;
		return ROW_ERROR;
	}
	u32 page = off >> UNWIND_PAGE_SHIFT;
	u32 rel = page - st->exec.first_page;
	if (rel >= st->exec.pages)
		return ROW_NONE;

	u32 idx = st->exec.dir_base + rel;
	u64 *entry = bpf_map_lookup_elem(&page_dir, &idx);
	if (!entry) {
		st->end = END_TABLE_CORRUPT;
		return ROW_ERROR;
	}
	u64 e = *(volatile u64 *)entry;
	if (!(e & PAGE_PRESENT)) {
		if (e & PAGE_EMPTY)
			return ROW_NONE;
		if (!(e & PAGE_REQUESTED) && __sync_val_compare_and_swap(entry, e, e | PAGE_REQUESTED) == e) {
			count(CTR_PAGE_REQUESTS);
			request(st, EVENT_PAGE_MISS, page);
		}
		st->end = END_TABLE_MISS;
		return ROW_ERROR;
	}
	u32 *used = bpf_map_lookup_elem(&page_used, &idx);
	if (used && *used != epoch)
		*used = epoch;

	u32 start = e >> PAGE_START_ROW_SHIFT;
	u64 n = (e >> PAGE_ROWS_SHIFT) & PAGE_ROWS_MASK;
	u32 segment = start / SEGMENT_ROWS, zero = 0;
	void *inner = bpf_map_lookup_elem(&row_segments, &segment);
	if (!inner) {
		st->end = END_TABLE_CORRUPT;
		return ROW_ERROR;
	}
	u32 *rows = bpf_map_lookup_elem(inner, &zero);
	if (!rows || !n) {
		st->end = END_TABLE_CORRUPT;
		return ROW_ERROR;
	}
	u64 lo = start & (SEGMENT_ROWS - 1);
	u64 x = off & ((1 << UNWIND_PAGE_SHIFT) - 1);
#pragma unroll
	for (int i = 0; i < SEARCH_STEPS; i++) {
		u64 half = n >> 1;
		u64 mid = (lo + half) & (SEGMENT_ROWS - 1);
		u64 le = ~((s64)(x - (rows[mid] & 0xffff)) >> 63);
		asm volatile("" : "+r"(le));
		lo += half & le;
		n -= half;
	}
	*rule = rows[lo & (SEGMENT_ROWS - 1)] >> 16;
	return ROW_FOUND;
}

#endif

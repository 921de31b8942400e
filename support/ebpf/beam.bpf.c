/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Erlang and Elixir: the BEAM with its compiler (BeamAsm).
 *
 * A scheduler thread keeps the structure of its registers at the foot of its own
 * stack. While it runs compiled code the stack pointer is that of the Erlang
 * process, whose stack lies at the end of its heap: return addresses and tagged
 * terms, told apart by their lowest two bits. C code is called on the thread's
 * stack right below the registers; where the Erlang stack was left is then in the
 * process's structure or in the frame pointer's register, as the code behind the
 * call tells. Below the last Erlang frame comes process_main, which is compiled at
 * run time too, and then the thread's own frames.
 *
 * Dirty schedulers run C code only: the Erlang frames of the process stand
 * between that code and erts_dirty_process_main.
 */

#include "all.h"
#include "runtime.h"

#define BEAM_AREAS 8
/* Ranges of the runtime's executable. */
#define TAG_DIRTY_MAIN 1

/* Kinds of frames. */
#define BEAM_FUNCTION	  0 /* address: code header; word: cookie << 28 | offset */
#define BEAM_SHARED_CODE  1 /* compiled code that belongs to no module */
#define BEAM_PROCESS_MAIN 2

/* Bits of the word of BEAM_FUNCTION that are the offset from the code header. */
#define BEAM_OFFSET_BITS 28

struct beam_area {
	u64 start, end;
};

struct beam_process {
	u64 active_index; /* address of the index of the code in use */
	u64 ranges;	  /* address of the three tables of modules */
	u64 normal_exit;  /* the return address below the last frame of every process */
	u64 main_return;  /* where process_main would return to */
	u32 main_offset;  /* about where that is on the stack, from the registers */
	u32 tsd_key;
	struct beam_area area[BEAM_AREAS]; /* what holds compiled code */
	struct tsd_layout tsd;
	u16 sched_registers; /* of a scheduler's data: pointer to its registers */
	u16 sched_process;   /* ... to the process that it runs */
	u16 proc_base;	     /* of a process: where to read 16 words */
	u8 stop;	     /* which of them is the end of the stack, ... */
	u8 heap;
	u8 hend;
	u8 md5;		   /* word of the code header that points to the module's MD5 sum */
	u8 frame_pointers; /* the emulator runs with +JPperf or such */
	u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct beam_process);
} beam_processes SEC(".maps");

/* What the next step does: find the stack, take a block or a word of it, or go on
 * below it. */
#define MODE_BEGIN 1
#define MODE_BLOCK 2
#define MODE_WORD  3
#define MODE_END   4

/* The most of a stack that is walked when its end is not known, in bytes. */
#define MAX_STACK (1 << 18)

/* State between steps. */
enum {
	RT_NEXT,      /* where the next block of the stack begins to count */
	RT_BOTTOM,    /* the end of the stack, the process's heap end */
	RT_HEAP,      /* the start of its heap */
	RT_WORDS,     /* bits of the words of the current block that may be return addresses */
	RT_REGISTERS, /* of the scheduler */
	RT_FLAGS,
	RT_MODULES, /* the table of modules and its length */
	RT_COUNT,
	RT_START, /* the last module found, and the one before */
	RT_END,
	RT_COOKIE,
	RT_START2,
	RT_END2,
	RT_COOKIE2,
	RT_WANTED, /* of searches */
	RT_LOW,
	RT_HIGH,
	RT_FOUND,
	RT_FOUND_END,
};

#define FLAG_TABLE 1 /* RT_MODULES has been read */
#define FLAG_ANY   2 /* the top word may be a return address whatever its tag */
#define FLAG_DIRTY 4 /* on a dirty scheduler */
#define FLAG_DONE  8 /* ... and its Erlang frames are done */
#define FLAG_FOUND 16 /* the code that was met first belongs to a module */

/* 1 for 0, without a branch: loops of branches are too much for the verifier. */
static __always_inline u64 is_zero(u64 x)
{
	u64 less = x - 1;

	/* Or the compiler would make the branch. */
	asm volatile("" : "+r"(less));
	return (less & ~x) >> 63;
}

/* One entry of the table of modules. */
struct beam_range {
	u64 start, end;
};

/* What a search works on is in the state, not on the stack: the verifier would
 * follow every value that it might have there. */
struct search {
	struct unwind_state *st;
};

static long range_search_step(u32 i, struct search *s)
{
	u64 *rt = s->st->rt;
	struct beam_range r;

	if (rt[RT_LOW] >= rt[RT_HIGH])
		return 1;
	u64 mid = (rt[RT_LOW] + rt[RT_HIGH]) >> 1;
	if (!read_user(&r, sizeof(r), rt[RT_MODULES] + mid * sizeof(r)))
		return 1;
	if (rt[RT_WANTED] < r.start) {
		rt[RT_HIGH] = mid;
	} else if (rt[RT_WANTED] >= r.end) {
		rt[RT_LOW] = mid + 1;
	} else {
		rt[RT_FOUND] = r.start;
		rt[RT_FOUND_END] = r.end;
		return 1;
	}
	return 0;
}

static __always_inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

/* What tells a module from another one, or another version of it, that takes the
 * same place later: its MD5 sum, and of its table of lines, which the sum leaves
 * out, the length and the end. User space computes the same, see cookie.go. */
static __always_inline u64 module_cookie(struct beam_process *p, u64 header)
{
	struct {
		u64 fnames, loc_size, locs, first;
	} lines = {};
	u64 md5[2] = {}, tail[4] = {}, functions = 0, table = 0, sum = 0, last = 0, h = 0;

	read_u64(header, &functions);
	read_u64(header + 9 * 8, &table);
	if (read_u64(header + p->md5 * 8, &sum))
		read_user(md5, sizeof(md5), sum);
	if (table && read_user(&lines, sizeof(lines), table) &&
	    read_u64(table + 24 + (functions & 0xffffff) * 8, &last)) {
		u64 n = (last - lines.first) >> 3;
		u64 size = lines.loc_size & 7;
		if (n >= 16)
			read_user(tail, sizeof(tail), lines.locs + n * size - sizeof(tail));
		h = mix(h, n);
	}
	h = mix(h, functions);
	h = mix(h, md5[0]);
	h = mix(h, md5[1]);
	h = mix(h, tail[0]);
	h = mix(h, tail[1]);
	h = mix(h, tail[2]);
	h = mix(h, tail[3]);
	return h << BEAM_OFFSET_BITS;
}

/* Finds the module that a place in code belongs to: RT_START, RT_COOKIE. Not
 * static, so that it is verified once. */
__noinline int find_module(struct unwind_state *st, struct beam_process *p, u64 pc)
{
	if (!st || !p)
		return 0;
	if (pc - st->rt[RT_START] < st->rt[RT_END] - st->rt[RT_START])
		return 1;
	u64 start = st->rt[RT_START2], end = st->rt[RT_END2], cookie = st->rt[RT_COOKIE2];
	if (pc - start >= end - start) {
		struct search s = {.st = st};

		st->rt[RT_WANTED] = pc;
		st->rt[RT_LOW] = 0;
		st->rt[RT_HIGH] = st->rt[RT_COUNT];
		st->rt[RT_FOUND] = st->rt[RT_FOUND_END] = 0;
		bpf_loop(24, range_search_step, &s, 0);
		start = st->rt[RT_FOUND];
		end = st->rt[RT_FOUND_END];
		if (!end)
			return 0;
		cookie = module_cookie(p, start);
	}
	st->rt[RT_START2] = st->rt[RT_START];
	st->rt[RT_END2] = st->rt[RT_END];
	st->rt[RT_COOKIE2] = st->rt[RT_COOKIE];
	st->rt[RT_START] = start;
	st->rt[RT_END] = end;
	st->rt[RT_COOKIE] = cookie;
	return 1;
}

static __always_inline void push_function(struct loop_context *c, u64 pc)
{
	u64 *rt = c->st->rt;
	u64 off = (pc - rt[RT_START]) & ((1ULL << BEAM_OFFSET_BITS) - 1);

	push_runtime1(c, BEAM_FUNCTION, rt[RT_START], rt[RT_COOKIE] | off);
}

/* The table of modules that is in use. */
static __always_inline bool read_table(struct unwind_state *st, struct beam_process *p)
{
	u64 table[2];
	u32 index;

	if (st->rt[RT_FLAGS] & FLAG_TABLE)
		return true;
	if (!read_u32(p->active_index, &index) || index > 2 ||
	    !read_user(table, sizeof(table), p->ranges + index * 32))
		return false;
	st->rt[RT_MODULES] = table[0];
	st->rt[RT_COUNT] = table[1] & 0xffffff;
	st->rt[RT_FLAGS] |= FLAG_TABLE;
	return true;
}

static __always_inline bool in_area(struct beam_process *p, u64 pc)
{
	u64 in = 0;

#pragma unroll
	for (int i = 0; i < BEAM_AREAS; i++) {
		u64 off = pc - p->area[i].start, size = p->area[i].end - p->area[i].start;
		in |= (off - size) & ~off;
	}
	return in >> 63;
}

#define LEAVE_STOP  1 /* the stack pointer is loaded from the process's structure */
#define LEAVE_SAVED 2 /* ... from rbp */

/* Is there an instruction at byte i of the window that goes back to the Erlang stack? */
static long leave_search_step(u32 i, struct search *s)
{
	u32 n = (i >> 3) & (WINDOW_WORDS - 1), bits = (i & 7) * 8;
	u64 v = s->st->window[n] >> bits;

	if (bits)
		v |= s->st->window[(n + 1) & (WINDOW_WORDS - 1)] << (64 - bits);
	u32 op = v & 0xffffff;
	if (op == 0xec8948 || op == 0xe58b48) /* mov rsp, rbp */
		s->st->rt[RT_FOUND] = LEAVE_SAVED;
	else if (op == 0x658b49 && ((v >> 24) & 0xff) == s->st->rt[RT_WANTED]) /* mov rsp, [r13 + stop] */
		s->st->rt[RT_FOUND] = LEAVE_STOP;
	else if (op == 0xa58b49 && ((v >> 24) & 0xffffffff) == s->st->rt[RT_WANTED])
		s->st->rt[RT_FOUND] = LEAVE_STOP;
	return s->st->rt[RT_FOUND] != 0;
}

/* Where compiled code that runs on the thread's stack, at pc or called from
 * before it, has left the Erlang stack. 0: it runs no process. */
static __always_inline u64 left_stack(struct unwind_state *st, struct beam_process *p, u64 stop)
{
	struct search s = {.st = st};

	st->window_base = 0;
	if (bpf_probe_read_user(st->window, WINDOW_BYTES, (void *)st->pc))
		return stop;
	/* mov r13, rax: the scheduler has been asked for the next process. */
	u32 op = st->window[0] & 0xffffff;
	if (op == 0xc58949 || op == 0xe88b4c)
		return 0;
	if (p->frame_pointers)
		return stop;
	st->rt[RT_WANTED] = p->proc_base + p->stop * 8;
	st->rt[RT_FOUND] = 0;
	bpf_loop(WINDOW_BYTES - 8, leave_search_step, &s, 0);
	return st->rt[RT_FOUND] == LEAVE_SAVED ? st->fp : stop;
}

/* Finds the stack of the process that the thread runs. There may be none. */
static __always_inline int begin_scan(struct unwind_state *st, struct beam_process *p)
{
	u64 sched, process, at = st->sp;

	st->mode = MODE_END;
	if (!read_tsd(&p->tsd, p->tsd_key, &sched) || !sched)
		return RTERR_THREAD;
	if (!read_u64(sched + p->sched_registers, &st->rt[RT_REGISTERS]) ||
	    !read_u64(sched + p->sched_process, &process))
		return RTERR_READ;
	if (!process)
		return 0;
	u64 *w = st->window;
	st->window_base = 0;
	if (bpf_probe_read_user(w, 16 * 8, (void *)(process + p->proc_base)))
		return RTERR_READ;
	u64 stop = w[p->stop & 15], heap = w[p->heap & 15], hend = w[p->hend & 15];
	if (st->rt[RT_FLAGS] & FLAG_DIRTY)
		at = stop;
	else if (at < heap || at > hend)
		at = left_stack(st, p, stop);
	if (!at)
		return 0;
	if (at < heap || at > hend || (at & 7)) {
		/* While garbage is collected the stack moves before the rest of the
		 * structure tells of it. It still ends with normal_exit. */
		if (!stop || (stop & 7))
			return RTERR_STACK;
		at = heap = stop;
		hend = stop + MAX_STACK;
	}
	st->rt[RT_NEXT] = at;
	st->rt[RT_HEAP] = heap;
	st->rt[RT_BOTTOM] = hend;
	st->mode = MODE_BLOCK;
	return 0;
}

static __always_inline struct beam_process *beam_record(struct unwind_state *st)
{
	u32 record = runtime_record(st);

	return bpf_map_lookup_elem(&beam_processes, &record);
}

/* Compiled code: at the leaf, or as the caller of C code. */
static __always_inline int beam_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	struct beam_process *p = beam_record(st);

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (!read_table(st, p))
		return runtime_end(c, RTERR_READ);
	if (find_module(st, p, pc)) {
		push_function(c, pc);
		st->rt[RT_FLAGS] |= FLAG_FOUND;
	} else if (!in_area(p, pc)) {
		return STEP_NATIVE;
	}
	st->mode = MODE_BEGIN;
	return STEP_AGAIN;
}

static __always_inline int beam_interpreter(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;
	struct beam_process *p;

	if (tag != TAG_DIRTY_MAIN || (st->rt[RT_FLAGS] & FLAG_DONE))
		return STEP_NATIVE;
	p = beam_record(st);
	if (!p || !read_table(st, p))
		return STEP_NATIVE;
	st->rt[RT_FLAGS] |= FLAG_DIRTY;
	st->mode = MODE_BEGIN;
	return STEP_AGAIN;
}

/* Bits of the words of the window that may be return addresses. */
static __always_inline u32 return_addresses(struct unwind_state *st)
{
	u32 words = 0;

#pragma unroll
	for (u32 i = 0; i < WINDOW_WORDS; i++) {
		u64 w = st->window[i];
		/* Low bits 0 and an address of user space. */
		words |= (u32)is_zero((w & 3) | (w >> 48)) << i;
	}
	return words;
}

/* Reads the next block of the stack. */
static __always_inline bool next_block(struct unwind_state *st, struct beam_process *p)
{
	u64 *rt = st->rt;
	u64 at = rt[RT_NEXT], base = at & ~(u64)(WINDOW_BYTES - 1);
	u32 first = ((at - base) >> 3) & 31;
	u64 count = (rt[RT_BOTTOM] - base) >> 3;

	st->window_base = 0;
	if (bpf_probe_read_user(st->window, WINDOW_BYTES, (void *)base))
		return false;
	u32 words = return_addresses(st);
	if (rt[RT_FLAGS] & FLAG_ANY) {
		rt[RT_FLAGS] &= ~(u64)FLAG_ANY;
		/* A frame pointer may have been saved above it. */
		words |= (p->frame_pointers ? 3U : 1U) << first;
	}
	words &= ~0U << first;
	if (count < WINDOW_WORDS)
		words &= ~(~0U << (count & 31));
	rt[RT_WORDS] = words;
	rt[RT_NEXT] = base + WINDOW_BYTES;
	return true;
}

/* Goes on below the Erlang frames, with the thread's own. */
static __always_inline int end_scan(struct loop_context *c, struct beam_process *p)
{
	struct unwind_state *st = c->st;
	u64 at = st->rt[RT_REGISTERS] + p->main_offset - 8 * 8;
	u64 *w = st->window, slot = 0;

	st->mode = 0;
	if (st->rt[RT_FLAGS] & FLAG_DIRTY) {
		st->rt[RT_FLAGS] |= FLAG_DONE;
		return STEP_AGAIN;
	}
	st->window_base = 0;
	if (bpf_probe_read_user(w, 16 * 8, (void *)at))
		return runtime_end(c, RTERR_READ);
#pragma unroll
	for (int i = 0; i < 16; i++) {
		u64 mask = -is_zero(w[i] ^ p->main_return);
		slot = (slot & ~mask) | ((at + i * 8) & mask);
	}
	if (!slot)
		return runtime_end(c, RTERR_STACK);
	push_runtime1(c, BEAM_PROCESS_MAIN, 0, 0);
	/* The register of the frame pointer is lost; its old value has been saved
	 * further down, as process_main never returns. */
	finish_step(st, slot + 8, p->main_return, 0);
	return STEP_AGAIN;
}

static __always_inline int beam_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	struct beam_process *p = beam_record(st);
	u64 *rt = st->rt;
	u32 error = 0;

	if (!p)
		return runtime_end(c, RTERR_NO_RECORD);
	if (st->mode == MODE_END)
		return end_scan(c, p);
	if (st->mode == MODE_BEGIN) {
		error = begin_scan(st, p);
		/* Code of no module without a process is process_main itself. */
		if (!(rt[RT_FLAGS] & (FLAG_FOUND | FLAG_DIRTY)) && (error || st->mode == MODE_BLOCK)) {
			push_runtime1(c, BEAM_SHARED_CODE, 0, 0);
			/* It may have been called without regard to the tag. */
			rt[RT_FLAGS] |= FLAG_ANY;
		}
	} else if (st->mode == MODE_BLOCK) {
		st->mode = MODE_WORD;
		if (rt[RT_NEXT] >= rt[RT_BOTTOM])
			st->mode = MODE_END;
		else if (!next_block(st, p))
			error = RTERR_READ;
	} else {
		u32 words = rt[RT_WORDS];
		u64 w = st->window[__builtin_ctz(words) & (WINDOW_WORDS - 1)];

		rt[RT_WORDS] = words & (words - 1);
		if (!words)
			st->mode = MODE_BLOCK;
		else if (w == p->normal_exit)
			st->mode = MODE_END;
		/* Saved frame pointers look like return addresses, too. */
		else if (w > 4096 && w - rt[RT_HEAP] > rt[RT_BOTTOM] - rt[RT_HEAP] && find_module(st, p, w - 1))
			push_function(c, w - 1);
	}
	if (error) {
		push_runtime_error(c, error);
		st->mode = MODE_END;
	}
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_BEAM, beam, beam_interpreter, beam_code, beam_frames);

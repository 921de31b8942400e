// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

/*
 * .NET (CoreCLR). All managed code is compiled: at run time into code heaps, or
 * ahead of time into the PE images of the libraries (ReadyToRun). The runtime
 * keeps a map of both, which is read here in the process itself, so that a method
 * is known from its first sample on:
 *
 * address -> section (a map of five levels since .NET 8, a list before)
 *   code heap -> start of the method, by a map of nibbles -> its header
 *   image     -> the table of functions that the PE format prescribes
 * -> unwind information, in the format of Windows, also on Linux.
 *
 * Most methods have no frame pointer. What is found is remembered by address,
 * unless the code may be freed.
 */
#include "all.h"
#include "runtime.h"

/* What user space says of a process; offsets are in words of 8 bytes. */
struct dotnet_process {
	u64 sections;	/* address of the map, or of the pointer to the first of the list */
	u8 is_list;
	u8 section_begin, section_end, section_next, section_flags, section_heap;
	u8 heap_base, heap_map;
	u16 code_method;      /* in the header of a method, bytes: its descriptor */
	u16 code_functions;   /* number of functions; the table follows */
	u16 range_kind;	      /* bytes, in a list of ranges of stubs; 0: unknown */
	u16 section_ranges;   /* words: the list of ranges */
	u16 method_name;      /* bytes, in the descriptor of a dynamic method */
	u16 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct dotnet_process);
} dotnet_processes SEC(".maps");

/* Kinds of frames: enum Subtype of tracer/interpreter/dotnet. */
#define DOTNET_JIT  1 /* address: method descriptor; word: its cookie */
#define DOTNET_R2R  2 /* address: start of the function; word: its cookie */
#define DOTNET_STUB 3 /* address: kind of stub */

#define STUB_UNKNOWN 0

/* How to leave a frame, and what it is. */
struct dotnet_frame {
	u64 addr;
	u64 word;
	s32 cfa;   /* of the caller, from the stack or frame pointer */
	s32 saved; /* place of the caller's frame pointer, below the CFA; 0: unchanged */
	u8 by_fp;
	u8 subtype;
	u8 fixed; /* cannot be freed */
	u8 guess;
	u8 stub;
	u8 reserved[3];
};

struct dotnet_key {
	u64 pc;
	u32 record;
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct dotnet_key);
	__type(value, struct dotnet_frame);
} dotnet_frames SEC(".maps");

/* Words of st->rt: the last section. */
#define RT_BEGIN 0
#define RT_END	 1
#define RT_FLAGS 2
#define RT_BASE	 3 /* of the map of nibbles, or of the image */
#define RT_MAP	 4 /* map of nibbles, or table of functions */
#define RT_COUNT 5 /* of functions */

#define SECTION_COLLECTIBLE 1
#define SECTION_HEAP	    2
#define SECTION_RANGES	    4 /* since .NET 8 */

/* Most sections of a list, and fragments of 128 KiB, that are looked through. */
#define MAX_SECTIONS  1024
#define MAX_FRAGMENTS 64
/* Words of the map of nibbles, 256 bytes of code each: no method is longer. */
#define MAX_NIBBLE_WORDS 4096
#define MAX_FUNCLETS	 256

#if defined(__TARGET_ARCH_x86)
#define FUNCTION_BYTES 12
#else
#define FUNCTION_BYTES 8
#endif

/* State of the loops below. It is kept in a map, as the verifier would follow every
 * value of it on the stack. */
#define BUFFER_WORDS 16
struct dotnet_scratch {
	u64 buffer[BUFFER_WORDS];
	u64 pc;
	u64 at;
	u64 base;
	u64 start;
	u32 lo, n, rva, index, word;
	u32 prolog;
	s32 sp;
	s32 saved;
	u8 found, failed, by_fp, has_saved, saved_by_fp, frame;
	u8 reserved[2];
	struct dotnet_frame frame_out;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct dotnet_scratch);
} dotnet_scratch SEC(".maps");

/* What the loops work on. */
struct dotnet_loop {
	struct dotnet_scratch *s;
	struct dotnet_process *p;
};

/* A section of the list. */
static long list_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	struct dotnet_process *p = l->p;

	if (!s->at || !read_user(s->buffer, 64, s->at))
		return 1;
	if (s->pc >= s->buffer[p->section_begin & 7] && s->pc < s->buffer[p->section_end & 7]) {
		s->found = 1;
		return 1;
	}
	s->at = s->buffer[p->section_next & 7];
	return 0;
}

/* A fragment: next, begin, end, section. The lowest bit of pointers is a mark. */
static long fragment_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u64 at = s->at & ~1ULL;

	if (!at || !read_user(s->buffer, 32, at))
		return 1;
	if (s->pc >= s->buffer[1] && s->pc < s->buffer[2]) {
		s->at = s->buffer[3];
		s->found = 1;
		return 1;
	}
	s->at = s->buffer[0];
	return 0;
}

/* Reads the section that holds pc into the buffer. */
static __always_inline bool find_section(struct dotnet_loop *l, u64 pc)
{
	struct dotnet_scratch *s = l->s;
	u64 at = l->p->sections;

	s->pc = pc;
	s->found = 0;
	if (l->p->is_list) {
		if (!read_u64(at, &s->at))
			return false;
		bpf_loop(MAX_SECTIONS, list_step, l, 0);
		return s->found;
	}
#pragma unroll
	for (int shift = 49; shift >= 17; shift -= 8) {
		if (!read_u64((at & ~1ULL) + ((pc >> shift) & 255) * 8, &at) || !at)
			return false;
	}
	s->at = at;
	bpf_loop(MAX_FRAGMENTS, fragment_step, l, 0);
	return s->found && read_user(s->buffer, 72, s->at);
}

/* The table of functions of an image: the directory of exceptions of its PE header. */
static __always_inline bool load_image(struct unwind_state *st, u64 image)
{
	struct {
		u32 rva, size;
	} dir;
	u32 pe;

	if (!read_u32(image + 0x3c, &pe) || pe > 4096)
		return false;
	if (!read_user(&dir, 8, image + pe + 24 + 112 + 3 * 8))
		return false;
	st->rt[RT_BASE] = image;
	st->rt[RT_MAP] = image + dir.rva;
	st->rt[RT_COUNT] = dir.size / FUNCTION_BYTES;
	return true;
}

/* Makes the section that holds pc the current one. */
static __always_inline bool load_section(struct unwind_state *st, struct dotnet_loop *l, u64 pc)
{
	struct dotnet_process *p = l->p;
	u64 *b = l->s->buffer;

	if (pc - st->rt[RT_BEGIN] < st->rt[RT_END] - st->rt[RT_BEGIN])
		return true;
	st->rt[RT_BEGIN] = st->rt[RT_END] = 0;
	if (!find_section(l, pc))
		return false;
	u64 begin = b[p->section_begin & 15], end = b[p->section_end & 15], heap = b[p->section_heap & 15];
	u64 ranges = b[p->section_ranges & 15];
	u32 flags = b[p->section_flags & 15];

	if (pc < begin || pc >= end)
		return false;
	st->rt[RT_FLAGS] = flags;
	if (flags & SECTION_HEAP) {
		if (!read_user(b, 64, heap))
			return false;
		st->rt[RT_BASE] = b[p->heap_base & 7];
		st->rt[RT_MAP] = b[p->heap_map & 7];
	} else if (!p->is_list && (flags & SECTION_RANGES)) {
		u32 kind = STUB_UNKNOWN;
		if (p->range_kind)
			read_u32(ranges + p->range_kind, &kind);
		st->rt[RT_COUNT] = kind;
	} else if (!load_image(st, begin)) {
		return false;
	}
	st->rt[RT_BEGIN] = begin;
	st->rt[RT_END] = end;
	return true;
}

/* Looks for the last mark in a word of the map, going back. A word whose lowest
 * nibble is more than 8 tells the place of the start, as it is covered by one
 * method; older versions have none of these. */
static long nibble_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u32 d = s->word, bucket = s->index * 8 + 7;

	if ((d & 15) > 8) {
		s->start = s->base + (d & ~15U) + (((d & 15) - 9) << 2);
		return 1;
	}
	if (d) {
		/* The lowest nibble that is not 0 is the last one. */
		u32 shift = !(d & 0xffff) * 4;
		d >>= shift * 4;
		u32 more = !(d & 0xff) * 2;
		d >>= more * 4;
		shift += more;
		more = !(d & 15);
		d >>= more * 4;
		shift += more;
		s->start = s->base + (u64)(bucket - shift) * 32 + ((d & 15) - 1) * 4;
		return 1;
	}
	if (!s->index)
		return 1;
	s->index--;
	return !read_u32(s->at + (u64)s->index * 4, &s->word);
}

/* The start of the method that pc lies in, 0 if there is none. */
static __always_inline u64 method_start(struct unwind_state *st, struct dotnet_loop *l, u64 pc)
{
	struct dotnet_scratch *s = l->s;
	u64 delta = pc - st->rt[RT_BASE];

	s->at = st->rt[RT_MAP];
	s->base = st->rt[RT_BASE];
	s->index = delta >> 8;
	s->start = 0;
	if (delta >> 32 || !read_u32(s->at + (u64)s->index * 4, &s->word))
		return 0;
	if ((s->word & 15) <= 8) {
		/* Without what lies behind pc. */
		u32 shift = 28 - ((delta >> 5) & 7) * 4;
		u32 w = s->word >> shift;
		if ((w & 15) > ((delta & 31) >> 2) + 1)
			w &= ~15U;
		s->word = w << shift;
	}
	bpf_loop(MAX_NIBBLE_WORDS, nibble_step, l, 0);
	return s->start;
}

static __always_inline u32 mix(u64 a, u64 b, u64 c)
{
	u64 h = (a ^ (b * 0xff51afd7ed558ccdULL)) + c * 0xc4ceb9fe1a85ec53ULL;

	h *= 0x9e3779b97f4a7c15ULL;
	return h >> 32;
}

/* What of the first word of a method descriptor never changes: token, index in
 * its chunk, slot and classification. */
#define METHOD_FIXED   0x0007ffff00ff0fffULL
#define METHOD_DYNAMIC 7
#define METHOD_CHUNK   24 /* bytes of a chunk before its first method */

static __always_inline bool method_cookie(struct dotnet_process *p, u64 method, u32 *cookie)
{
	u64 word, table = 0, name = 0;

	if (!read_u64(method, &word))
		return false;
	read_u64(method - ((word >> 16) & 255) * 8 - METHOD_CHUNK, &table);
	if (((word >> 48) & 7) == METHOD_DYNAMIC)
		read_u64(method + p->method_name, &name);
	*cookie = mix(word & METHOD_FIXED, table, name);
	return true;
}

#if defined(__TARGET_ARCH_x86)
#include "dotnet_x86.h"
#else
#include "dotnet_arm64.h"
#endif

/* One halving of the search for the last function that begins at or before rva. */
static long search_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u32 begin, half = s->n >> 1, mid = s->lo + half;

	if (!half)
		return 1;
	if (!read_u32(s->at + (u64)mid * FUNCTION_BYTES, &begin)) {
		s->failed = 1;
		return 1;
	}
	if (begin <= s->rva)
		s->lo = mid;
	s->n -= half;
	return 0;
}

/* A function in an image. */
static __always_inline bool image_frame(struct loop_context *c, struct dotnet_loop *l, struct dotnet_frame *f, u64 pc)
{
	struct unwind_state *st = c->st;
	struct dotnet_scratch *s = l->s;
	u64 base = st->rt[RT_BASE], rva = pc - base;
	struct runtime_function rf;

	s->at = st->rt[RT_MAP];
	s->lo = 0;
	s->n = st->rt[RT_COUNT];
	s->rva = rva;
	s->failed = 0;
	if (rva >> 32 || !s->n)
		return false;
	bpf_loop(32, search_step, l, 0);
	if (s->failed || !read_user(&rf, sizeof(rf), s->at + (u64)s->lo * FUNCTION_BYTES) || !in_function(&rf, rva))
		return false;
	f->subtype = DOTNET_R2R;
	f->addr = base + rf.begin;
	f->word = function_cookie(&rf);
	f->fixed = 1;
	return unwind_rule_of(c, l, f, base, &rf, pc);
}

/* The function of a method that holds rva: its handlers of exceptions are functions
 * of their own, behind it. */
static long funclet_step(u32 i, struct dotnet_loop *l)
{
	struct dotnet_scratch *s = l->s;
	u32 begin;

	if (!read_u32(s->at + FUNCTION_BYTES, &begin) || s->rva < begin)
		return 1;
	s->at += FUNCTION_BYTES;
	return 0;
}

/* A method in a heap of compiled code. */
static __always_inline bool heap_frame(struct loop_context *c, struct dotnet_loop *l, struct dotnet_frame *f, u64 pc)
{
	struct unwind_state *st = c->st;
	struct dotnet_process *p = l->p;
	struct dotnet_scratch *s = l->s;
	u64 start = method_start(st, l, pc), header;
	struct runtime_function rf;
	u32 n, begin, cookie;

	if (!start || !read_u64(start - 8, &header))
		return false;
	if (header < 32) { /* a block of stubs of one kind */
		f->addr = header;
		return false;
	}
	if (!read_user(s->buffer, 64, header))
		return false;
	u32 *w = (u32 *)s->buffer, at = p->code_functions >> 2;
	u64 method = s->buffer[(p->code_method >> 3) & 7];
	n = w[at & 15];
	begin = w[(at + 1) & 15];
	if (!n)
		return false;
	/* The method's own function begins where the method does: that gives the base. */
	u64 base = start - begin;
	s->rva = pc - base;
	s->at = header + p->code_functions + 4;
	if (n > 1)
		bpf_loop(n < MAX_FUNCLETS ? n - 1 : MAX_FUNCLETS, funclet_step, l, 0);
	if (!read_user(&rf, sizeof(rf), s->at) || !method_cookie(p, method, &cookie))
		return false;
	f->subtype = DOTNET_JIT;
	f->addr = method;
	f->word = cookie;
	f->fixed = !(st->rt[RT_FLAGS] & SECTION_COLLECTIBLE) && !p->is_list;
	return unwind_rule_of(c, l, f, base, &rf, pc);
}

/* Finds out what lies at pc. Returns false where nothing is known of it. */
static __always_inline bool find_frame(struct loop_context *c, struct dotnet_loop *l, struct dotnet_frame *f, u64 pc)
{
	struct unwind_state *st = c->st;
	bool ok = false;

	f->subtype = DOTNET_STUB;
	f->stub = 1;
	if (!load_section(st, l, pc))
		return st->exact && called_from_top(st);
	if (st->rt[RT_FLAGS] & SECTION_HEAP)
		ok = heap_frame(c, l, f, pc);
	else if (!l->p->is_list && (st->rt[RT_FLAGS] & SECTION_RANGES))
		f->addr = st->rt[RT_COUNT] & 255;
	else
		ok = image_frame(c, l, f, pc);
	f->stub = !ok;
	return true;
}

/* Leaves a frame that may be managed code; all but some frames come from the map. */
static __always_inline int dotnet_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	u32 record = runtime_record(st), zero = 0;
	struct dotnet_key key = {.pc = pc, .record = record};
	struct dotnet_frame *known = bpf_map_lookup_elem(&dotnet_frames, &key);

	if (!known) {
		struct dotnet_loop l = {
			.s = bpf_map_lookup_elem(&dotnet_scratch, &zero),
			.p = bpf_map_lookup_elem(&dotnet_processes, &record),
		};
		if (!l.s)
			return STEP_NATIVE;
		if (!l.p) {
			push_runtime_error(c, RTERR_NO_RECORD);
			return STEP_NATIVE;
		}
		known = &l.s->frame_out;
		__builtin_memset(known, 0, sizeof(*known));
		if (!find_frame(c, &l, known, pc))
			return STEP_NATIVE;
		if (known->fixed)
			bpf_map_update_elem(&dotnet_frames, &key, known, BPF_ANY);
	}
	push_runtime1(c, known->subtype, known->addr, known->word);
	/* Stubs, and helpers that the runtime copied, have no frame of their own. */
	if (known->stub)
		return leave_stub(c);
	if (known->guess)
		return step_guess(c);
	st->heuristic = 0;
	return leave_frame(st, known);
}

static __always_inline int dotnet_interp(struct loop_context *c, u32 tag)
{
	return STEP_NATIVE; /* no managed code lies in executable files */
}

static __always_inline int dotnet_left(struct loop_context *c)
{
	c->st->mode = 0;
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_DOTNET, dotnet, dotnet_interp, dotnet_code, dotnet_left);

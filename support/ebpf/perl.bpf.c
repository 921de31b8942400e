/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Perl: what a thread executes is its list of context stacks (struct stackinfo,
 * cop.h), whose contexts are blocks, loops, subs and evals, newest last. A sub
 * that Perl calls from Perl takes no C stack: one C frame of the loop,
 * Perl_runops_standard(), runs a stretch of contexts. A stretch begins with a
 * context that returns to no op, or at the bottom of a context stack, and that
 * is how contexts and C frames are matched.
 */
#include "all.h"
#include "runtime.h"

/* Where my_perl is. */
#define PERL_THREAD  0 /* thread-specific data under a key */
#define PERL_POINTER 1 /* in a variable */
#define PERL_GLOBALS 2 /* nowhere: its members are variables */

struct perl_process {
	u64 variable;	  /* PERL_POINTER: its address */
	u64 curcop;	  /* offsets in the interpreter, or addresses */
	u64 curstackinfo;
	struct tsd_layout tsd;
	u32 key;
	u8 where;
	u8 context_size;
	u8 sub_cv;	  /* words in a context: blk_sub.cv, blk_eval.old_namesv */
	u8 eval_name;
	u8 stack_type;	  /* offset of si_type */
	u8 reserved[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct perl_process);
} perl_processes SEC(".maps");

/* Tags of ranges. */
#define TAG_LOOP 0 /* runops */
#define TAG_MAIN 1 /* perl_run, perl_parse: what is left goes here */
#define TAG_SORT 2 /* sorting between two calls of the comparison */
#define TAG_CATCH 3 /* evals and what else may start a loop of its own */

/* Kinds of frames; see tracer/interpreter/perl. */
#define PERL_SUB     0
#define PERL_FORMAT  1
#define PERL_EVAL    2 /* a block */
#define PERL_STRING  3 /* an evaluated string */
#define PERL_REQUIRE 4
#define PERL_MAIN    5
#define PERL_GLOB    6 /* a sub that is named by a glob */
#define PERL_LEXICAL 7 /* my sub */

/* Offsets that are the same in all versions, and flags (cop.h, cv.h). */
#define COP_LINE    36
#define SV_VALUE    16
#define CVF_NAMED   0x8000
#define CVF_LEXICAL 0x10000

/* Types of contexts and their flags, the same from 5.24 to 5.42 (cop.h). */
#define CXT_TYPE	0xf
#define CXT_NULL	0
#define CXT_SUB		9
#define CXT_FORMAT	10
#define CXT_EVAL	11
#define CXP_TRYBLOCK	0x40
#define CXP_TRY		0x80 /* with CXP_TRYBLOCK: try {}, no frame in caller() */
#define CXP_SUB_RE_FAKE 0x80

#define PERLSI_SORT 3

/* Words of a context. */
#define CX_OLDCOP 2
#define CX_RETOP  6
#define CX_WORDS  12

#define MODE_STRETCH 1
#define MODE_REST    2

/* State between steps. */
#define RT_STARTED st->rt[0]
#define RT_STACK   st->rt[1] /* struct stackinfo; 0: all is done */
#define RT_PREV	   st->rt[2]
#define RT_CXSTACK st->rt[3]
#define RT_CXIX	   st->rt[4]
#define RT_COP	   st->rt[5]
#define RT_TAKEN   st->rt[6] /* the stretch has had a context */
#define RT_FRAMES  st->rt[7] /* frames when the last stretch had been pushed */
#define RT_LOOPS   st->rt[8] /* loops since the start or the last TAG_SORT */
#define RT_CATCH   st->rt[9] /* frames when a function has been pushed that started a loop for an eval */

/* Contexts looked at in a step. */
#define SKIP 4

static __always_inline struct perl_process *perl_record(struct unwind_state *st)
{
	u32 key = runtime_record(st);
	return bpf_map_lookup_elem(&perl_processes, &key);
}

static __always_inline bool enter_stack(struct unwind_state *st, u64 si)
{
	struct {
		u64 stack, cxstack, prev, next;
		s32 cxix, cxmax;
	} s;

	if (!read_user(&s, sizeof(s), si))
		return false;
	RT_STACK = si;
	RT_PREV = s.prev;
	RT_CXSTACK = s.cxstack;
	RT_CXIX = (s64)s.cxix;
	return true;
}

/* Finds the thread's interpreter, once in a stack. Returns why it was not found. */
static __always_inline u32 start(struct unwind_state *st, struct perl_process *p)
{
	u64 perl = 0, si;

	if (p->where == PERL_THREAD) {
		if (!read_tsd(&p->tsd, p->key, &perl) || !perl)
			return RTERR_THREAD;
	} else if (p->where == PERL_POINTER) {
		if (!read_u64(p->variable, &perl) || !perl)
			return RTERR_THREAD;
	}
	if (!read_u64(perl + p->curcop, &RT_COP) || !read_u64(perl + p->curstackinfo, &si) || !enter_stack(st, si))
		return RTERR_READ;
	return RTERR_NONE;
}

static __always_inline int perl_interpreter(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;
	struct perl_process *p = perl_record(st);
	u32 error = RTERR_NO_RECORD, type;

	/* A sort that is between two comparisons: its context is there, but nothing runs in it. */
	if (tag == TAG_SORT && RT_LOOPS) {
		RT_LOOPS = 0;
		return STEP_NATIVE;
	}
	if (tag == TAG_CATCH) {
		if (RT_LOOPS && st->frames - RT_FRAMES <= 1)
			RT_CATCH = st->frames + 1;
		return STEP_NATIVE;
	}
	if (!RT_STARTED) {
		RT_STARTED = 1;
		if (p)
			error = start(st, p);
		else
			request_runtime(st);
		if (error != RTERR_NONE)
			push_runtime_error(c, error);
	}
	if (!RT_STACK || !p)
		return STEP_NATIVE;
	if (tag == TAG_SORT) {
		if (RT_PREV && !RT_CXIX && read_u32(RT_STACK + p->stack_type, &type) && type == PERLSI_SORT) {
			read_u64(RT_CXSTACK + CX_OLDCOP * 8, &RT_COP);
			enter_stack(st, RT_PREV);
		}
		return STEP_NATIVE;
	}
	if (tag == TAG_MAIN) {
		st->mode = MODE_REST;
		return STEP_NATIVE;
	}
	/* An eval that needs a C frame of its own to come back to starts the loop anew in
	 * the middle of a stretch. In between are docatch() and the eval's function,
	 * unless that ended in a jump to docatch(). */
	if (RT_LOOPS && (st->frames - RT_FRAMES == 1 || RT_CATCH == st->frames)) {
		RT_FRAMES = st->frames + 1;
		return STEP_NATIVE;
	}
	RT_LOOPS++;
	RT_TAKEN = 0;
	st->mode = MODE_STRETCH;
	return STEP_NATIVE;
}

static __always_inline int perl_code(struct loop_context *c, u64 pc)
{
	return STEP_NATIVE;
}

static __always_inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

/* The words of a frame. Pointers are of 48 bits, on arm64 all of them, and multiples
 * of 8, so 45 bits hold them, and 19 are left to check what they point to:
 *   address: what names the frame: a shared string or a glob for a sub, the text
 *            for a required file, the line for an evaluated string
 *   word 1:  the statement, and a check of its line and file
 *   word 2:  the sub's package, or its first op if a glob names it, and a check of
 *            the name
 * So a frame can be named when the sub or the statement is gone. */
#define POINTER_BITS 45

static __always_inline u64 pack(u64 pointer, u64 h)
{
	return ((pointer >> 3) & ((1ULL << POINTER_BITS) - 1)) | h << POINTER_BITS;
}

/* The first words of a name: of a shared string, its hash, length and text. */
static __always_inline u64 mix_text(u64 h, u64 at)
{
	u64 text[2] = {};

	read_user(text, sizeof(text), at);
	return mix(mix(h, text[0]), text[1]);
}

struct sub_name {
	u64 name, context, check;
	u32 kind;
};

/* What names a sub: a shared string for most, with the package in the CV; else a glob. */
static __always_inline void name_sub(struct sub_name *n, u64 cv)
{
	struct {
		u64 stash, start, root, name, file, padlist, outside;
		u32 outside_seq, flags;
	} body;
	struct {
		u64 name, stash;
	} gv;
	u64 at;

	if (!read_u64(cv, &at) || !read_user(&body, sizeof(body), at + 32))
		return;
	n->name = body.name;
	if (body.flags & CVF_NAMED) {
		n->kind = body.flags & CVF_LEXICAL ? PERL_LEXICAL : n->kind;
		n->context = body.stash;
		n->check = mix_text(0, body.name);
		return;
	}
	n->kind = n->kind == PERL_SUB ? PERL_GLOB : n->kind;
	n->context = body.start;
	if (read_u64(body.name, &at) && read_user(&gv, sizeof(gv), at + 32))
		n->check = mix_text(gv.stash, gv.name);
}

static __always_inline void push_perl(struct loop_context *c, u32 kind, u64 of, u64 cop)
{
	struct {
		u32 line;
		u64 stash, file;
	} __attribute__((packed)) w = {};
	struct sub_name n = {.kind = kind};

	read_user(&w, sizeof(w), cop + COP_LINE);
	if (kind == PERL_SUB || kind == PERL_FORMAT) {
		name_sub(&n, of);
	} else if (kind == PERL_REQUIRE) {
		if (read_u64(of + SV_VALUE, &n.name))
			n.check = mix_text(0, n.name);
	} else if (kind == PERL_STRING) {
		n.name = w.line;
	}
	push_runtime2(c, n.kind, n.name, pack(cop, mix(mix(0, w.line), w.file)), pack(n.context, n.check));
}

static __always_inline int end_stretch(struct unwind_state *st)
{
	st->mode = 0;
	RT_FRAMES = st->frames;
	return STEP_AGAIN;
}

/* Whether the lowest context of the stack is that of a sort's block, or of code in a
 * regular expression. Their last statement returns to no op, as what C calls does. */
static __always_inline bool in_block(struct unwind_state *st)
{
	u8 flags;

	if (!RT_PREV || !read_user(&flags, 1, RT_CXSTACK))
		return false;
	return (flags & CXT_TYPE) == CXT_NULL ||
	       (flags & (CXT_TYPE | CXP_SUB_RE_FAKE)) == (CXT_SUB | CXP_SUB_RE_FAKE);
}

static __always_inline int perl_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	struct perl_process *p = perl_record(st);
	u64 cx[CX_WORDS] = {}, of = 0, at;
	u32 kind = PERL_MAIN, type;
	u32 end = 1;
	u8 flags = 0;
	s64 ix;

	if (!p) {
		RT_STACK = 0;
		return end_stretch(st);
	}
	/* Blocks and loops are no frames. */
	ix = RT_CXIX;
	at = RT_CXSTACK + ix * p->context_size;
	for (int i = 0; i < SKIP && ix >= 0; i++) {
		if (!read_user(&flags, 1, at))
			goto unreadable;
		type = flags & CXT_TYPE;
		if (type == CXT_SUB || type == CXT_FORMAT || type == CXT_EVAL)
			goto found;
		RT_TAKEN = 1;
		ix--;
		at -= p->context_size;
	}
	RT_CXIX = ix;
	if (ix >= 0)
		return STEP_AGAIN;
	/* The bottom of this context stack. */
	if (RT_PREV) {
		if (!enter_stack(st, RT_PREV))
			goto unreadable;
		return RT_TAKEN && st->mode == MODE_STRETCH ? end_stretch(st) : STEP_AGAIN;
	}
	RT_STACK = 0;
	goto push;
found:
	asm volatile("" : "+r"(ix), "+r"(at), "+r"(type));
	RT_CXIX = ix - 1;
	if (!read_user(cx, sizeof(cx), at))
		goto unreadable;
	end = !cx[CX_RETOP];
	if (type == CXT_EVAL) {
		if (flags & CXP_TRYBLOCK) {
			/* One that returns to no op is the work of call_sv(), and the sub above it was
			 * the bottom of a stretch. */
			if (end || (flags & CXP_TRY))
				return STEP_AGAIN;
			kind = PERL_EVAL;
		} else {
			of = p->eval_name == 7 ? cx[7] : cx[8];
			kind = of ? PERL_REQUIRE : PERL_STRING;
		}
	} else {
		of = p->sub_cv == 8 ? cx[8] : cx[9];
		kind = type == CXT_FORMAT ? PERL_FORMAT : PERL_SUB;
	}
	end = end && st->mode == MODE_STRETCH && !(ix == 1 && in_block(st));
	RT_TAKEN = 1;
	if (type == CXT_SUB && (flags & CXP_SUB_RE_FAKE))
		goto pushed;
push:
	/* The verifier is not to follow every kind on its own. */
	asm volatile("" : "+r"(kind), "+r"(of), "+r"(end));
	push_perl(c, kind, of, RT_COP);
	if (RT_STACK)
		RT_COP = cx[CX_OLDCOP];
pushed:
	return end ? end_stretch(st) : STEP_AGAIN;
unreadable:
	push_runtime_error(c, RTERR_READ);
	RT_STACK = 0;
	return end_stretch(st);
}

RUNTIME_PROGRAM(RUNTIME_PERL, perl, perl_interpreter, perl_code, perl_frames);

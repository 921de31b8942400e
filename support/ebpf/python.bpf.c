/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Frames of CPython.
 *
 * Python's frames form a list of their own, from the state of the thread. The
 * native stack shows where they belong: a call of the interpreter's loop runs
 * one frame (up to 3.10), or a part of the list (from 3.11 on, where a call from
 * Python to Python needs no call in C). In versions from 3.11 on a part belongs
 * to something that lies in the C frame of its loop, a struct _PyCFrame or a
 * frame of the loop's own. Its address tells whether list and native stack are
 * in step: a loop that has just been entered has no part of its own yet.
 */
#include "all.h"

/* The state's words. */
enum {
	S_FRAME,  /* the next frame, 0: none left */
	S_CFRAME, /* its struct _PyCFrame */
	S_LOOP,	  /* address in the C frame of the loop whose frames came last */
	S_LOW,	  /* lowest address of the C frame of the present loop */
	S_FLAGS,
	S_INTERP, /* while looking for a thread */
	S_THREAD,
	S_USED, /* the states of the thread that were used, MAX_USED of them */
	S_CODE = S_USED + 2, /* the last code object and its cookie: recursion is common */
	S_COOKIE,
};
#define MAX_USED 2 /* the first interpreter's and one of another */

#define F_USED_MASK 7 /* how many are used */
#define F_FAILED    8 /* an error frame was pushed: no more of them */
#define F_PUSHED    16

enum {
	MODE_NATIVE,
	MODE_START, /* no frames are known, or no more */
	MODE_FIND,  /* look for a state of this thread */
	MODE_BEGIN, /* the first frame of a loop is next */
	MODE_FRAME,
};

/* Python's frames are all shown, even if the native stack cannot be followed. */
static __always_inline u32 python_left(struct unwind_state *st)
{
	if (st->rt[S_FLAGS] & F_FAILED)
		return MODE_NATIVE;
	if (st->rt[S_FRAME])
		return MODE_BEGIN;
	return st->end == END_COMPLETE ? MODE_NATIVE : MODE_START;
}
#define RUNTIME_LEFT(st) python_left(st)


#include "runtime.h"

/* How frames are linked. */
#define LINK_OBJECT 0 /* to 3.10: one object per loop */
#define LINK_ENTRY  1 /* 3.11: the last one of a loop is marked */
#define LINK_SHIM   2 /* from 3.12: behind the last one comes one that stands for the loop */

/* Owners from this one on are the loops themselves. */
#define OWNER_LOOP 3

/* Offsets of members are in bytes; 0 where the version has no such member. */
struct python_process {
	u64 thread_key;	  /* address of the key of the thread's state, 0: not known */
	u64 current;	  /* address of the pointer to the state of the thread that runs, 0: none */
	u64 interpreters; /* address of the pointer to the list of interpreters */
	u64 code_type;	  /* address of the type of code objects */
	s64 self;	  /* what pthread_self() returns, from the thread pointer */
	struct tsd_layout tsd;
	u32 interp_next, interp_threads;
	u16 thread_next, thread_id;
	u16 thread_frame; /* the newest frame, or a struct _PyCFrame that points to it */
	u16 link;
	u16 cframe, cframe_frame, cframe_back; /* cframe: 1 if there is such a thing */
	u16 frame_size, frame_code, frame_back, frame_instr, frame_owner;
	u16 code_size, code_line, code_name, code_qualname, code_file, code_lines, code_version, code_start;
	u16 text_length;  /* of strings and bytes; the hash follows */
	u16 text_data;	  /* of bytes */
	u16 ascii_data, wide_data; /* of strings; 0: as in bytes */
	u16 type; /* of any object */
	u16 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct python_process);
} python_processes SEC(".maps");

#define FRAME_BYTES 128
#define CODE_BYTES  256
#define TEXT_BYTES  64

struct python_scratch {
	u8 frame[FRAME_BYTES];
	u8 code[CODE_BYTES];
	u8 text[TEXT_BYTES];
	u64 tail[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct python_scratch);
} python_scratch_map SEC(".maps");

static __always_inline struct python_process *python_record(struct unwind_state *st)
{
	u32 key = runtime_record(st);

	return bpf_map_lookup_elem(&python_processes, &key);
}

static __always_inline int fail_python(struct loop_context *c, u32 error)
{
	struct unwind_state *st = c->st;

	st->rt[S_FRAME] = 0;
	st->mode = MODE_NATIVE;
	if (!(st->rt[S_FLAGS] & F_FAILED)) {
		st->rt[S_FLAGS] |= F_FAILED;
		push_runtime_error(c, error);
	}
	return STEP_AGAIN;
}

/* Goes on to the frames of another struct _PyCFrame. */
static __always_inline bool load_cframe(struct unwind_state *st, struct python_process *r, u64 cframe)
{
	st->rt[S_CFRAME] = cframe;
	return cframe && read_u64(cframe + r->cframe_frame, &st->rt[S_FRAME]);
}

/* Begins with the frames of a thread's state. */
static __always_inline bool use_thread(struct unwind_state *st, struct python_process *r, u64 thread)
{
	u64 newest, used = st->rt[S_FLAGS] & F_USED_MASK;

	if (!used)
		st->rt[S_USED] = thread;
	else
		st->rt[S_USED + 1] = thread;
	if (used < MAX_USED)
		st->rt[S_FLAGS]++;
	if (!read_u64(thread + r->thread_frame, &newest))
		return false;
	if (r->cframe)
		return load_cframe(st, r, newest);
	st->rt[S_FRAME] = newest;
	return true;
}

static __always_inline bool was_used(struct unwind_state *st, u64 thread)
{
	return thread == st->rt[S_USED] || thread == st->rt[S_USED + 1];
}

static __always_inline bool is_self(struct python_process *r, u64 thread)
{
	u64 id;

	return read_u64(thread + r->thread_id, &id) && id == thread_pointer() + r->self;
}

/* The state of this thread: the one that runs, when it is this thread's, as a
 * thread may have one in several interpreters; else the thread's own, as the
 * thread may run C code without the interpreter's lock. */
static __always_inline u64 own_thread(struct python_process *r)
{
	u64 thread = 0;
	u32 key;

	if (r->current && read_u64(r->current, &thread) && thread && is_self(r, thread))
		return thread;
	if (r->thread_key && read_u32(r->thread_key, &key) && read_tsd(&r->tsd, key, &thread))
		return thread;
	return 0;
}

static __always_inline bool begin_find(struct unwind_state *st, struct python_process *r, bool others)
{
	u64 head, next;

	if (!r->interpreters || !read_u64(r->interpreters, &head) || !head)
		return false;
	/* All states of a thread but one belong to further interpreters. */
	if (others && (!read_u64(head + r->interp_next, &next) || !next))
		return false;
	st->rt[S_INTERP] = head;
	st->rt[S_THREAD] = 0;
	st->mode = MODE_FIND;
	return true;
}

/* Looks at one thread, or goes on to the next interpreter. */
static __always_inline int find_thread(struct loop_context *c, struct python_process *r)
{
	struct unwind_state *st = c->st;
	u64 thread = st->rt[S_THREAD], interp = st->rt[S_INTERP];

	if (!thread) {
		if (!interp) {
			if (!(st->rt[S_FLAGS] & F_USED_MASK))
				return fail_python(c, RTERR_THREAD);
			st->mode = MODE_NATIVE;
			return STEP_AGAIN;
		}
		if (!read_u64(interp + r->interp_threads, &st->rt[S_THREAD]) ||
		    !read_u64(interp + r->interp_next, &st->rt[S_INTERP]))
			return fail_python(c, RTERR_READ);
		return STEP_AGAIN;
	}
	if (is_self(r, thread) && !was_used(st, thread) && (st->rt[S_FLAGS] & F_USED_MASK) < MAX_USED) {
		st->mode = MODE_BEGIN;
		if (use_thread(st, r, thread) && st->rt[S_FRAME])
			return STEP_AGAIN;
		st->mode = MODE_FIND;
	}
	if (!read_u64(thread + r->thread_next, &st->rt[S_THREAD]))
		return fail_python(c, RTERR_READ);
	return STEP_AGAIN;
}

static __always_inline u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
	return h ^ (h >> 29);
}

static __always_inline u64 word_at(u8 *b, u32 off, u32 size)
{
	return *(u64 *)(b + (off & (size - 8)));
}

/* The last bytes of a string, as the first ones of paths are mostly the same. */
static __always_inline u64 mix_tail(struct python_scratch *s, struct python_process *r, u64 h, u64 text)
{
	u64 len = word_at(s->text, 0, TEXT_BYTES), state = word_at(s->text, 16, TEXT_BYTES);
	u64 data = text + r->text_data;
	u32 n;

	if (r->ascii_data) { /* kind: bits 2 to 4, ASCII: bit 6 */
		data = text + ((state & 64) ? r->ascii_data : r->wide_data);
		len *= (state >> 2) & 7;
	}
	n = len < 16 ? len : 16;
	if (len > 16)
		data += len - 16;
	s->tail[0] = s->tail[1] = 0;
	asm volatile("" : "+r"(n));
	if (n <= 16)
		bpf_probe_read_user(s->tail, n, (void *)data);
	return mix(mix(mix(h, len), s->tail[0]), s->tail[1]);
}

/* A word that is different for code objects with different names, files or
 * lines, as one may take another one's place. See cookie() in user space. */
static __always_inline u64 code_cookie(struct python_scratch *s, struct python_process *r)
{
	u64 name = word_at(s->code, r->code_qualname ? r->code_qualname : r->code_name, CODE_BYTES);
	u64 file = word_at(s->code, r->code_file, CODE_BYTES);
	u64 lines = word_at(s->code, r->code_lines, CODE_BYTES);
	u32 line = *(u32 *)(s->code + (r->code_line & (CODE_BYTES - 4)));
	u64 h = mix(mix(mix(line, name), file), lines);

	if (r->code_version) {
		/* Counts the code objects of an interpreter; 0 when it has run over. */
		u32 version = *(u32 *)(s->code + (r->code_version & (CODE_BYTES - 4)));
		if (version)
			return mix(h, version);
	}
	/* Names are interned, so that their hash is there. */
	if (!bpf_probe_read_user(s->text, 16, (void *)(name + r->text_length)))
		h = mix(mix(h, word_at(s->text, 0, TEXT_BYTES)), word_at(s->text, 8, TEXT_BYTES));
	if (!bpf_probe_read_user(s->text, 24, (void *)(file + r->text_length)))
		h = mix_tail(s, r, h, file);
	if (!bpf_probe_read_user(s->text, TEXT_BYTES, (void *)(lines + r->text_length))) {
		/* In 2.7 data begins in the middle of a word. */
		u32 at = (r->text_data - r->text_length) & 28;
		u64 len = word_at(s->text, 0, TEXT_BYTES);
		u64 a = *(u64 *)(s->text + at), b = *(u64 *)(s->text + at + 8);
		h = mix(h, len);
		if (len < 8)
			a &= (1ULL << (len * 8)) - 1;
		if (len < 16)
			b = 0;
		h = mix(mix(h, a), b);
	}
	return h;
}

/* Pushes the frame that was read, of a code object. */
static __always_inline bool push_python(struct loop_context *c, struct python_scratch *s, struct python_process *r,
					u64 code, u64 instr)
{
	struct unwind_state *st = c->st;
	u32 size = r->code_size;

	if (code != st->rt[S_CODE]) {
		if (size > CODE_BYTES || bpf_probe_read_user(s->code, size, (void *)code) ||
		    word_at(s->code, r->type, CODE_BYTES) != r->code_type)
			return false;
		st->rt[S_CODE] = code;
		st->rt[S_COOKIE] = code_cookie(s, r);
	}
	u64 at = r->link == LINK_OBJECT ? (u64)(u32)instr : instr - code - r->code_start;
	push_runtime2(c, 0, code, at, st->rt[S_COOKIE]);
	c->st->rt[S_FLAGS] |= F_PUSHED;
	return true;
}

/* The frames of a loop have come to their end. Native frames follow, unless the
 * native stack has ended, or has passed over the loops of the frames that follow. */
static __always_inline int end_loop(struct unwind_state *st, u64 loop)
{
	st->rt[S_LOOP] = loop;
	if (st->ended && !st->rt[S_FRAME]) {
		st->mode = python_left(st);
		return STEP_AGAIN;
	}
	st->mode = st->rt[S_FRAME] && (st->ended || (loop && loop < st->rt[S_LOW])) ? MODE_BEGIN : MODE_NATIVE;
	return STEP_AGAIN;
}

/* Whether the first frame belongs to the present loop, or to one further out. */
static __always_inline bool is_outer(struct unwind_state *st, struct python_process *r)
{
	if (st->ended || r->link == LINK_OBJECT)
		return false;
	/* The stack pointer is the caller's by now. */
	if (r->cframe)
		return st->rt[S_CFRAME] >= st->sp;
	/* Where only the end of the list tells, this loop's frames may have come already. */
	return st->rt[S_LOOP] >= st->rt[S_LOW];
}

static __always_inline int next_frame(struct loop_context *c, struct python_process *r)
{
	struct unwind_state *st = c->st;
	u64 frame = st->rt[S_FRAME], code, instr, cframe = st->rt[S_CFRAME];
	u32 zero = 0, size = r->frame_size;
	struct python_scratch *s = bpf_map_lookup_elem(&python_scratch_map, &zero);

	if (!s)
		return fail_python(c, RTERR_READ);
	if (st->mode == MODE_BEGIN && is_outer(st, r)) {
		st->mode = MODE_NATIVE;
		return STEP_AGAIN;
	}
	st->mode = MODE_FRAME;
	if (!frame)
		return end_loop(st, 0);
	if (size > FRAME_BYTES || bpf_probe_read_user(s->frame, size, (void *)frame))
		return fail_python(c, RTERR_READ);
	code = word_at(s->frame, r->frame_code, FRAME_BYTES) & ~7ULL;
	instr = word_at(s->frame, r->frame_instr, FRAME_BYTES);
	st->rt[S_FRAME] = word_at(s->frame, r->frame_back, FRAME_BYTES);
	u8 owner = s->frame[r->frame_owner & (FRAME_BYTES - 1)];

	if (r->link != LINK_SHIM || owner < OWNER_LOOP) {
		if (!push_python(c, s, r, code, instr)) {
			/* A loop may have been interrupted before its struct _PyCFrame was filled in. */
			if (r->cframe && !(st->rt[S_FLAGS] & F_PUSHED) && read_u64(cframe + r->cframe_back, &cframe) &&
			    load_cframe(st, r, cframe)) {
				st->rt[S_FLAGS] |= F_PUSHED;
				return end_loop(st, 0);
			}
			return fail_python(c, RTERR_BAD_FRAME);
		}
		if (r->link == LINK_SHIM || (r->link == LINK_ENTRY && !owner))
			return STEP_AGAIN;
	}
	if (!r->cframe)
		return end_loop(st, r->link == LINK_OBJECT ? 0 : frame);
	/* The next frames are those of the next struct _PyCFrame. */
	u64 loop = cframe;
	if (!read_u64(cframe + r->cframe_back, &cframe))
		return fail_python(c, RTERR_READ);
	st->rt[S_CFRAME] = cframe;
	return end_loop(st, loop);
}

/* Finds frames for a loop, or for a native stack that has broken off: first those
 * of the thread's own state, then those of its states in other interpreters. */
static __always_inline int start(struct loop_context *c, struct python_process *r)
{
	struct unwind_state *st = c->st;
	bool first = !(st->rt[S_FLAGS] & F_USED_MASK);

	st->mode = MODE_NATIVE;
	if (first) {
		u64 thread = own_thread(r);
		if (thread) {
			st->mode = MODE_BEGIN;
			if (!use_thread(st, r, thread))
				return fail_python(c, RTERR_READ);
			return STEP_AGAIN;
		}
		if (st->ended) /* perhaps no thread of Python's */
			return STEP_AGAIN;
	}
	if (!begin_find(st, r, !first) && first)
		return fail_python(c, RTERR_THREAD);
	return STEP_AGAIN;
}

static __always_inline int python_loop(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;

	if (!(st->rt[S_FLAGS] & F_FAILED)) {
		st->rt[S_LOW] = st->sp;
		st->mode = st->rt[S_FRAME] ? MODE_BEGIN : MODE_START;
	}
	return STEP_NATIVE;
}

/* With -X perf every call goes through a piece of code that keeps no frame
 * pointer: sub $8, %rsp; call *%rcx; add $8, %rsp; ret. It has no frame of its own
 * in the result, as Python's own says the same and more. */
static __always_inline int python_code(struct loop_context *c, u64 pc)
{
#if defined(__TARGET_ARCH_x86)
	struct unwind_state *st = c->st;
	u64 text, ra;

	if (st->exact || !read_u64(st->pc, &text) || (text & 0xffffffffffULL) != 0xc308c48348ULL ||
	    !read_stack(st, st->sp + 8, &ra))
		return STEP_NATIVE;
	return finish_step(st, st->sp + 16, ra, st->fp);
#else
	return STEP_NATIVE;
#endif
}

static __always_inline int python_frames(struct loop_context *c)
{
	struct python_process *r = python_record(c->st);

	if (!r)
		return fail_python(c, RTERR_NO_RECORD);
	if (c->st->mode == MODE_FIND)
		return find_thread(c, r);
	if (c->st->mode == MODE_START)
		return start(c, r);
	return next_frame(c, r);
}

RUNTIME_PROGRAM(RUNTIME_PYTHON, python, python_loop, python_code, python_frames);

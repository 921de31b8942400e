/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * LuaJIT: calls of Lua functions by Lua functions take no C stack, only that of
 * Lua. Wherever C enters the virtual machine there is a C frame, of fixed size,
 * which holds the lua_State; its frames down to the one that C called go there.
 * Compiled traces run in the same C frame, made larger: it is found by going up
 * the stack until the lua_State says that its C frame is there.
 */
#include "all.h"
#include "runtime.h"

/* Offsets depend on the size of references: 8 bytes (GC64) or 4. */
struct luajit_process {
	s32 jit_base, vmstate, traces; /* in global_State */
	u16 start_pc;		       /* in GCtrace */
	u8 ref;			       /* size of a reference; 8 also means frames of two slots */
	u8 state_global, state_base, state_maxstack, state_stack, state_cframe;
	u8 save_state, save_pc;	       /* in the C frame */
	u8 object_type;		       /* GCHeader.gct; ffid follows */
	u8 function_pc;
	u8 proto_size, proto_count, proto_chunk; /* GCproto: its size, sizebc, chunkname */
	u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct luajit_process);
} luajit_processes SEC(".maps");

/* Kinds of frames; see tracer/interpreter/luajit. */
#define LUAJIT_FUNCTION 0
#define LUAJIT_TRACE	1

/* GCHeader.gct */
#define TYPE_THREAD   6
#define TYPE_FUNCTION 8

/* The lowest bits of a frame's link (lj_frame.h). */
#define LINK_TYPE  3
#define LINK_TYPEP 7
#define LINK_LUA   0
#define LINK_C	   1
#define LINK_CONT  2
#define LINK_VARG  3

/*
 * The C frame of the interpreter: return address, frame pointer, and others (CFRAME_SIZE in
 * lj_frame.h). The interpreter's registers of base and pc (vm_*.dasc). What it may push on top:
 * the return address of arithmetic that is a function of its own, or the room of a trace.
 */
#if defined(__TARGET_ARCH_x86)
#define CFRAME_SIZE 80
#define CFRAME_RA   72
#define CFRAME_FP   64
#define VM_BASE	    1 /* rdx */
#define VM_PC	    3 /* rbx */
#define VM_PUSHED   8
#elif defined(__TARGET_ARCH_arm64)
#define CFRAME_SIZE 208
#define CFRAME_RA   200
#define CFRAME_FP   192
#define VM_BASE	    19
#define VM_PC	    21
#define VM_PUSHED   16
#endif
/* Where a trace's part of the C frame ends is looked for this far, in units of 16 bytes. */
#define TRACE_UNITS 40

#define NO_PC 0xfffff

/* State between steps. */
#define RT_STATE st->rt[0]  /* lua_State */
#define RT_BASE	 st->rt[1]  /* of the next frame; 0: none left */
#define RT_PC	 st->rt[2]  /* next instruction of the next frame; 0: not known */
#define RT_STACK st->rt[3]
#define RT_CALL	 st->rt[4]  /* the frame before was called by a Lua instruction of the next one */
#define RT_PROTO st->rt[5]  /* a frame that waits for its caller to be known; 0: none */
#define RT_INDEX st->rt[6]
#define RT_CHECK st->rt[7]
#define RT_ERROR st->rt[8]  /* an error was pushed already */
#define RT_LAST	 st->rt[9]  /* the frame that waits was called by C */

static __always_inline struct luajit_process *luajit_record(struct unwind_state *st)
{
	u32 key = runtime_record(st);
	return bpf_map_lookup_elem(&luajit_processes, &key);
}

/* Reads a reference, or anything else of that size. */
static __always_inline bool read_ref(struct luajit_process *p, u64 from, u64 *to)
{
	*to = 0;
	return read_user(to, p->ref == 8 ? 8 : 4, from);
}

static __always_inline u64 mix(u64 h, u64 w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

static __always_inline bool is_state(struct luajit_process *p, u64 state)
{
	u8 type;
	return state && !(state & 7) && read_user(&type, 1, state + p->object_type) && type == TYPE_THREAD;
}

/* Begins the frames of a lua_State; base and pc are 0 where they are not known. */
static __always_inline bool begin(struct unwind_state *st, struct luajit_process *p, u64 state, u64 base, u64 pc)
{
	u64 stack, top;

	if (state == RT_STATE) /* frames of it have been pushed: go on */
		goto go_on;
	if (!read_ref(p, state + p->state_stack, &stack) || !read_ref(p, state + p->state_maxstack, &top))
		return false;
	if ((base < stack || base > top || (base & 7)) && !read_u64(state + p->state_base, &base))
		return false;
	RT_STATE = state;
	RT_STACK = stack;
	RT_BASE = base;
	RT_PC = pc;
go_on:
	RT_CALL = 0;
	RT_PROTO = 0;
	RT_LAST = 0;
	st->mode = RT_BASE ? 1 : 0;
	return true;
}

static __always_inline void luajit_error(struct loop_context *c, u32 error)
{
	struct unwind_state *st = c->st;

	if (!RT_ERROR)
		push_runtime_error(c, error);
	RT_ERROR = 1;
}

/* A C frame of the interpreter. Where it was interrupted, registers hold what is
 * in memory otherwise. */
static __always_inline int luajit_interpreter(struct loop_context *c, u32 tag)
{
	struct unwind_state *st = c->st;
	struct luajit_process *p = luajit_record(st);
	u64 state, base = 0, pc = 0;

	if (!p) {
		luajit_error(c, RTERR_NO_RECORD);
		request_runtime(st);
		return STEP_NATIVE;
	}
	if (!read_ref(p, st->sp + p->save_state, &state) || !is_state(p, state)) {
		if (!st->exact || !read_ref(p, st->sp + VM_PUSHED + p->save_state, &state) || !is_state(p, state)) {
			luajit_error(c, RTERR_THREAD);
			return STEP_NATIVE;
		}
		st->sp += VM_PUSHED;
	}
	if (st->exact && st->regs_valid) {
		base = st->gpr[VM_BASE];
		pc = st->gpr[VM_PC];
	} else {
		read_ref(p, st->sp + p->save_pc, &pc);
	}
	if (!begin(st, p, state, base, pc))
		luajit_error(c, RTERR_READ);
	return STEP_NATIVE;
}

/* The lua_State whose C frame is at an address: 0 if there is none, 1 if the stack cannot
 * be read. By itself for the reason that STEP_FUNCTION gives. */
__noinline u64 luajit_state_of(struct unwind_state *st, struct luajit_process *p, u64 at)
{
	u64 state, own;

	if (!st || !p || !read_stack(st, at + (p->save_state & 0xf8), &state))
		return 1;
	if (p->ref != 8)
		state = (u32)state;
	if (!state || (state & 7) || !read_u64(state + p->state_cframe, &own) || (own & ~3ULL) != at)
		return 0;
	return state;
}

struct cframe {
	struct unwind_state *st;
	struct luajit_process *p;
	u64 at, state; /* state: 0 until it is found */
};

/* A trace has made its C frame larger: upwards, until one is a lua_State's. */
static long cframe_step(u32 i, struct cframe *f)
{
	f->state = luajit_state_of(f->st, f->p, f->at);
	if (f->state)
		return 1;
	f->at += 16;
	return 0;
}

static __always_inline int luajit_code(struct loop_context *c, u64 pc)
{
	struct unwind_state *st = c->st;
	struct luajit_process *p = luajit_record(st);
	struct cframe f = {.st = st, .p = p, .at = (st->sp + 15) & ~15ULL};
	u64 global, base = 0, traces, trace, at = 0, ra, fp;
	s32 number;

	if (!p)
		return STEP_NATIVE;
	bpf_loop(TRACE_UNITS, cframe_step, &f, 0);
	if (!is_state(p, f.state))
		return STEP_NATIVE;
	if (read_ref(p, f.state + p->state_global, &global)) {
		read_ref(p, global + p->jit_base, &base);
		/* The frames in memory are those that were there when the trace was entered. */
		if (read_user(&number, 4, global + p->vmstate) && number > 0 && number < 65536 &&
		    read_ref(p, global + p->traces, &traces) &&
		    read_ref(p, traces + (u64)number * p->ref, &trace) && read_ref(p, trace + p->start_pc, &at) && at)
			at += 4;
	}
	if (!read_stack(st, f.at + CFRAME_RA, &ra) || !read_stack(st, f.at + CFRAME_FP, &fp))
		return STEP_NATIVE;
	push_runtime1(c, LUAJIT_TRACE, 0, 0);
	if (!begin(st, p, f.state, base, at))
		luajit_error(c, RTERR_READ);
	return finish_step(st, f.at + CFRAME_SIZE, ra, fp) == STEP_STOP ? STEP_END : STEP_AGAIN;
}

struct slot {
	u64 function, link;
};

static __always_inline bool read_frame(struct luajit_process *p, u64 base, struct slot *s)
{
	if (p->ref == 8) {
		if (!read_user(s, sizeof(*s), base - 16))
			return false;
		s->function &= 0x7fffffffffffULL;
		return true;
	}
	if (!read_u64(base - 8, &s->link))
		return false;
	s->function = (u32)s->link;
	s->link >>= 32;
	return true;
}

/* A frame that was read: what function, and where it is. */
struct found {
	u64 proto, index, check; /* proto: 0 for a function that is not Lua's */
	u64 prev, pc;
	u32 call;		 /* called by an instruction of the frame at prev */
	u32 last;		 /* called by C */
	u32 skip;		 /* no frame of its own */
};

static __always_inline u32 find_frame(struct unwind_state *st, struct luajit_process *p, struct found *f)
{
	u64 base = RT_BASE, code, chunk;
	u32 count, lines[2], ins;
	struct slot s;
	struct {
		u8 type, ffid;
	} head;

	if (!read_frame(p, base, &s) || !read_user(&head, sizeof(head), s.function + p->object_type))
		return RTERR_READ;
	if (head.type != TYPE_FUNCTION)
		return RTERR_BAD_FRAME;
	f->prev = base - (s.link & ~7ULL);
	f->last = (s.link & LINK_TYPE) == LINK_C;
	switch (s.link & LINK_TYPE) {
	case LINK_LUA:
		if (!read_u32(s.link - 4, &ins))
			return RTERR_READ;
		f->prev = base - ((u64)((ins >> 8) & 0xff) + 1 + (p->ref == 8)) * 8;
		f->pc = s.link;
		f->call = 1;
		break;
	case LINK_CONT:
		/* A metamethod: what goes on afterwards lies below the frame. */
		if ((s.link & LINK_TYPEP) == LINK_CONT)
			read_ref(p, base - (p->ref == 8 ? 24 : 12), &f->pc);
		break;
	}
	if (f->prev >= base)
		return RTERR_BAD_FRAME;
	/* Arguments were moved; the function's own frame is below. */
	f->skip = (s.link & LINK_TYPEP) == LINK_VARG;
	if (head.ffid)
		return RTERR_NONE;
	if (!read_ref(p, s.function + p->function_pc, &code))
		return RTERR_READ;
	f->proto = code - p->proto_size;
	if (!read_u32(f->proto + p->proto_count, &count) || !read_ref(p, f->proto + p->proto_chunk, &chunk) ||
	    !read_user(lines, 8, f->proto + p->proto_chunk + p->ref))
		return RTERR_READ;
	f->index = ((RT_PC - code) >> 2) - 1;
	if (f->index >= count || f->index >= NO_PC)
		f->index = NO_PC;
	f->check = mix(mix(mix(0, chunk), count), (u64)lines[0] << 32 | lines[1]);
	return RTERR_NONE;
}

static __always_inline int luajit_frames(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	struct luajit_process *p = luajit_record(st);
	struct found f = {.index = NO_PC};
	u32 finish = 1, error;

	if (p && !RT_LAST && RT_BASE > RT_STACK + p->ref * 2) { /* not the bottom of the stack */
		finish = 0;
		error = find_frame(st, p, &f);
		if (error) {
			luajit_error(c, error);
			f.proto = 0;
			finish = 1;
		} else if (f.skip) {
			RT_BASE = f.prev;
			return STEP_AGAIN;
		}
	}
	asm volatile("" : "+r"(finish));
	if (RT_PROTO) {
		/* It waited for its caller: its name is found at the instruction that called it. */
		u64 caller = RT_CALL ? f.proto : 0;
		push_runtime2(c, LUAJIT_FUNCTION, RT_CHECK, ((RT_PROTO >> 3) & 0xfffffffffffULL) | RT_INDEX << 44,
			      ((caller >> 3) & 0xfffffffffffULL) | f.index << 44);
	}
	RT_PROTO = f.proto;
	RT_INDEX = f.index;
	RT_CHECK = f.check;
	RT_PC = f.pc;
	RT_CALL = f.call;
	if (finish) {
		if (!RT_LAST)
			RT_BASE = 0;
		RT_LAST = 0;
		st->mode = 0;
		return STEP_AGAIN;
	}
	RT_BASE = f.prev;
	RT_LAST = f.last; /* C called this one: the rest belongs to another C frame */
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_LUAJIT, luajit, luajit_interpreter, luajit_code, luajit_frames);

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_STATE_H
#define STROBE_STATE_H

/* Stack memory is read a window at a time: a read of 256 bytes costs hardly
 * more than one of 8, and serves several frames. */
#define WINDOW_WORDS 32
#define WINDOW_BYTES (WINDOW_WORDS * 8)
#define HOST_PAGE    4096ULL
/* Words of state that a runtime's program may keep between steps. */
#define RUNTIME_WORDS 24

/* Registers and caches of one unwinding. */
struct unwind_state {
	u64 pc, sp, fp, lr;
	u64 gpr[32]; /* by DWARF number; meaningful while regs_valid */
	/* The mapping of the last frame. */
	u64 map_start, map_end;
	s64 map_bias; /* file offset = address + bias */
	u32 exec_id;
	struct executable exec;
	u64 hash_hi, hash_lo;
	u64 window_base; /* 0: empty */
	u64 window[WINDOW_WORDS];
	u64 last_wake; /* when this CPU last woke user space for names, ns since boot */
	u64 process_hash; /* of what tells the process from any other */
	u32 tgid;
	u32 frames; /* user frames so far */
	u32 words;  /* words that they take */
	u32 base;   /* index of the first user word */
	u8 exact; /* pc was interrupted, it is no return address */
	u8 regs_valid;
	u8 end;
	u8 heuristic; /* the last step was a guess: verify that it lands in code */
	u8 ended;     /* the native stack has ended, frames of a runtime may be left */
	u8 asked;     /* bit 0: user space, what the process runs on; bit 1: both runtimes, for this frame */
	u8 runtime;   /* whose program runs, or is to run next */
	u8 switches;  /* from program to program so far */
	/* The runtime's own. mode is 0 where the native stack is followed; anything
	 * else makes the next step the runtime's. All are 0 when a stack begins. */
	u32 mode;
	u64 rt[RUNTIME_WORDS];
	struct runtime_slot slot[PROCESS_RUNTIMES];
};

struct sample_record {
	struct sample_header hdr;
	u64 frames[FRAME_SLOTS];
};

struct scratch {
	struct unwind_state st;
	struct sample_record rec;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch_map SEC(".maps");

/* What a step function works on. */
struct loop_context {
	struct unwind_state *st;
	struct sample_record *rec;
	struct process *proc;
};

const volatile u64 hash_seed_hi = 0x9e3779b97f4a7c15ULL;
const volatile u64 hash_seed_lo = 0xc2b2ae3d27d4eb4fULL;

/* Two independent lanes of multiply and shift. The seeds are random per start,
 * so that no program can arrange for two stacks to collide. */
static __always_inline void hash_word(struct unwind_state *st, u64 w)
{
	u64 h = (st->hash_hi ^ w) * 0xff51afd7ed558ccdULL;
	st->hash_hi = h ^ (h >> 32);
	u64 l = (st->hash_lo + w) * 0xc4ceb9fe1a85ec53ULL;
	st->hash_lo = l ^ (l >> 29);
}

static __always_inline void push_word(struct loop_context *c, u64 word)
{
	struct unwind_state *st = c->st;
	u32 i = st->base + st->words;

	asm volatile("" : "+r"(i));
	if (i < FRAME_SLOTS)
		c->rec->frames[i] = word;
	st->words++;
	hash_word(st, word);
}

static __always_inline void push_frame(struct loop_context *c, u64 word)
{
	push_word(c, word);
	c->st->frames++;
}

/* Reads 8 bytes of the stack of the process. */
static __always_inline bool read_stack(struct unwind_state *st, u64 addr, u64 *out)
{
	u64 idx = addr - st->window_base;

	if (st->window_base && idx <= WINDOW_BYTES - 8 && !(idx & 7)) {
		*out = st->window[(idx >> 3) & (WINDOW_WORDS - 1)];
		return true;
	}
	/* A window must not cross a page: the next one may be missing. */
	if (!(addr & 7) && (addr & (HOST_PAGE - 1)) <= HOST_PAGE - WINDOW_BYTES) {
		if (!bpf_probe_read_user(st->window, WINDOW_BYTES, (void *)addr)) {
			st->window_base = addr;
			*out = st->window[0];
			return true;
		}
		st->window_base = 0;
		return false;
	}
	return !bpf_probe_read_user(out, 8, (void *)addr);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_HOTSPOT_H
#define STROBE_HOTSPOT_H

/* The record of a process, and what a step of the JVM's program comes to. */

#define MAX_HEAPS 4
#define MAX_ENTRIES 6
/* Most hops through the segment map: each is up to 254 segments of 128 bytes or
 * more, the largest methods are some 100 KiB. */
#define MAX_HOPS 24
/* What is read of a blob at once; more than the header of any but a method's. */
#define BLOB_BYTES 128
#define METHOD_BYTES 384
#define HEADER_SIZE 512
/* Words of the stack that are searched for a return address into the code heaps. */
#define SCAN_WORDS 32

/* Kinds of frames, for user space. */
#define HOTSPOT_INTERPRETED 1 /* Method*; bci, cookie << 16 */
#define HOTSPOT_COMPILED 2    /* nmethod*; offset in the code, exact << 31, compilation << 32 */
#define HOTSPOT_STUB 3	      /* CodeBlob*; offset in the code, name << 32 */

struct hotspot_heap {
	u64 low, high;
	u64 segmap;
	u32 shift; /* log2 of a segment's size */
	u32 reserved;
};

/* The code by which the interpreter enters a method: how far its frame is made. All
 * are offsets from the start. */
struct hotspot_entry {
	u64 start;
	u32 size;
	u32 popped; /* from here to pushed, the return address is in a register */
	u32 pushed; /* where the frame pointer is pushed */
	u32 done;   /* the frame is whole from here */
};

/* What must be known of a process. Offsets are those of members, 0xffff for none. */
struct hotspot_process {
	u64 code_low, code_high; /* bounds of all heaps */
	u64 interpreter_low, interpreter_high;
	struct hotspot_heap heap[MAX_HEAPS];
	/* All entries to methods; those that are not listed make no frame. */
	u64 entries_low, entries_high;
	struct hotspot_entry entry[MAX_ENTRIES];
	u64 continuation_pc; /* where virtual threads return to from the first of their frames */
	u64 oop_base;	     /* of compressed references */
	u16 block_header;    /* from the start of a block to that of its blob */
	u16 blob_name;
	u16 blob_code;
	u16 blob_frame_complete;
	u16 blob_frame_size;
	u16 method_compile_id;
	u16 method_deopt;
	u16 method_deopt_mh;
	u16 method_orig_pc;
	u16 method_const;
	u16 const_constants;
	u16 const_code_size;
	u16 const_bytecodes; /* from the start of ConstMethod */
	u8 code_is_address;  /* not an offset from the blob */
	u8 frame_complete_short;
	u8 deopt_is_address;
	u8 slot_method; /* words below the interpreter's frame pointer */
	u8 slot_bcp;
	/* Frames of a virtual thread in the heap; chunk_stack is 0 if they are not known. */
	u8 oop_size, oop_shift;
	u16 continuation_tail, chunk_parent, chunk_size, chunk_sp, chunk_stack;
	u16 entry_continuation; /* in ContinuationEntry */
	u16 entry_size;
	u16 thread_entry; /* the pointer to it in JavaThread, 0 if that is not known */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct hotspot_process);
} hotspot_processes SEC(".maps");

/* What is read of a process, and what was made of a frame. */
struct hotspot_scratch {
	u8 header[HEADER_SIZE + 8];
	u64 slots[SCAN_WORDS];
	u64 addr, word; /* the frame, unless kind is 0 */
	u32 kind;
	u32 error;	 /* pushed after it, unless 0 */
	u64 cfa, ra, fp; /* the caller */
	u64 fp_at;	 /* where fp was read */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hotspot_scratch);
} hotspot_scratch_map SEC(".maps");

static __always_inline u64 header_u64(struct hotspot_scratch *s, u16 off)
{
	return *(u64 *)(s->header + (off & (HEADER_SIZE - 1)));
}

static __always_inline u32 header_u32(struct hotspot_scratch *s, u16 off)
{
	return *(u32 *)(s->header + (off & (HEADER_SIZE - 1)));
}

static __always_inline bool in_code(struct hotspot_process *p, u64 addr)
{
	return addr - p->code_low < p->code_high - p->code_low;
}

/* Bits of a return address that are none of the address; see arch_arm64.h. */
static __always_inline u64 plain_address(u64 addr)
{
#if defined(__TARGET_ARCH_arm64)
	return addr & address_mask;
#else
	return addr;
#endif
}

/* Words of the state: while frames in the heap are followed, where the frame of
 * enterSpecial is on the stack, and the chunk that the frames are in. */
#define FROZEN_ENTRY 0
#define FROZEN_CHUNK 1

/* What a step comes to; the functions below return it. They are not static, so that
 * the verifier looks at each of them once, and not on every way to it. */
#define STEP_CALLER 0 /* the caller is in the scratch */
#define STEP_GUESS 1  /* nothing is known of the frame */
#define STEP_ERROR 2  /* the stack ends here */
#define STEP_SAME 3   /* the state has been changed */

static __always_inline int caller(struct hotspot_scratch *s, u64 cfa, u64 ra, u64 fp, u64 fp_at)
{
	s->fp_at = fp_at;
	s->cfa = cfa;
	s->ra = plain_address(ra);
	s->fp = fp;
	return STEP_CALLER;
}

static __always_inline int error(struct hotspot_scratch *s, u32 e)
{
	s->error = e;
	return STEP_ERROR;
}

static __always_inline void frame(struct hotspot_scratch *s, u32 kind, u64 addr, u64 word)
{
	s->kind = kind;
	s->addr = addr;
	s->word = word;
}

/* The caller by the frame pointer. */
static __always_inline int framed(struct unwind_state *st, struct hotspot_scratch *s)
{
	u64 fp, ra;

	if ((st->fp & 7) || st->fp < st->sp || !read_stack(st, st->fp, &fp) || !read_stack(st, st->fp + 8, &ra))
		return error(s, RTERR_STACK);
	/* The check on entry to a method keeps a word of its own there. */
	if (ra == ~0ULL && read_stack(st, st->fp + 16, &ra))
		return caller(s, st->fp + 24, ra, fp, 0);
	return caller(s, st->fp + 16, ra, fp, 0);
}

#endif

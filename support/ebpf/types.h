/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_TYPES_H
#define STROBE_TYPES_H

/* Structures and constants shared with user space. Go's mirror of them is generated from BTF. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
#define true  1
#define false 0

/* Deepest user stack that is unwound, and what bpf_get_stack() gives at most. */
#define MAX_USER_FRAMES	  1024
#define MAX_KERNEL_FRAMES 127
/* Words of a record: a frame takes one, a frame of a runtime up to 1 + MAX_FRAME_WORDS.
 * Record and state together must stay below 32 KiB, the limit of a per-CPU value. */
#define FRAME_SLOTS 3584
#define MAX_FRAME_WORDS 2

/* A page of an unwind table covers this much of a file. */
#define UNWIND_PAGE_SHIFT 16
/* Rows in a segment of the slab: 1 MiB of 4-byte rows. A page's rows never cross segments. */
#define SEGMENT_ROWS 262144
/* Most rows that a page may have; sets the steps of the binary search. */
#define MAX_PAGE_ROWS 8192
#define SEARCH_STEPS  13
#define MAX_RULES     4096

/* Mappings of a process: chunks of a sorted list. */
#define CHUNK_MAPPINGS 32
#define MAX_CHUNKS     32

/* A frame is one word. Kernel frames are addresses as they are (the upper bits
 * are all ones); user frames have their kind in the top 4 bits. */
#define FRAME_KIND_SHIFT 60
#define FRAME_FILE	 1 /* bits 59..40 executable ID, bits 39..0 offset in the file */
#define FRAME_ANON	 2 /* bits 47..0 virtual address outside of files */
/* A frame of an interpreter or of code compiled at run time. Bits 59..55 are the
 * runtime (enum runtime_id), 54..53 how many more words follow, 52..48 a kind of
 * the runtime's own, 47..0 an address in the process. */
#define FRAME_RUNTIME 3
/* Frames of a runtime that could not be read: 59..55 the runtime, 15..0 enum runtime_error. */
#define FRAME_RUNTIME_ERROR 4
#define FRAME_RUNTIME_SHIFT 55
#define FRAME_WORDS_SHIFT   53
#define FRAME_SUBTYPE_SHIFT 48
#define FRAME_ADDR_MASK	    0xffffffffffffULL
#define FRAME_FILE_SHIFT 40
#define FRAME_OFF_MASK	 0xffffffffffULL

/* IDs of executables: 0 is none, 1 the vdso. */
#define EXEC_NONE 0
#define EXEC_VDSO 1

/* An entry of the page directory, one u64: start row, number of rows, flags. */
#define PAGE_REQUESTED	     1ULL
#define PAGE_PRESENT	     2ULL
#define PAGE_EMPTY	     4ULL /* known to have no table: frame pointers only */
#define PAGE_ROWS_SHIFT	     8
#define PAGE_ROWS_MASK	     0x3fffULL
#define PAGE_START_ROW_SHIFT 32

struct mapping {
	u64 start;
	u32 pages;  /* of 4 KiB */
	u32 pgoff;  /* offset in the file, in 4 KiB */
	u32 exec_id; /* EXEC_NONE: anonymous */
	u32 reserved;
};

struct mapping_key {
	u32 tgid;
	u32 chunk;
};

struct mapping_chunk {
	u32 count;
	u32 version; /* exec_vm of the record that it belongs to */
	struct mapping m[CHUNK_MAPPINGS];
};

struct process {
	u64 mm;	      /* address of the mm_struct: tells a process from its predecessor. 0: the next sample fills it in */
	u64 exec_vm;  /* executable pages in these mappings: the process's own differ when code was mapped or unmapped since */
	u64 start_time; /* ns since boot */
	u32 main_exec;
	u32 ppid;
	u32 mappings;
	u32 chunks;
	u64 first[MAX_CHUNKS]; /* lowest address of each chunk */
};

/* What makes a file the same file. */
struct file_key {
	u64 ino;
	u64 mtime; /* s */
	u64 size;
	u32 dev; /* kernel encoding: major << 20 | minor */
	u32 reserved;
};

#define EXEC_LOADED	1 /* the page directory of the executable is there */
#define EXEC_REQUESTED	2
#define EXEC_NO_TABLE	4 /* could not be read: frame pointers only */
#define EXEC_INCLUDE	8
#define EXEC_EXCLUDE	16
#define EXEC_CLASSIFIED 32 /* the path filters have been applied */
#define EXEC_RUNTIME	64 /* holds a runtime: a process that maps it may need a program of its own */
#define EXEC_MADE	128 /* no executable file: code that was made at run time, in a memfd for instance */

struct executable {
	u32 dir_base;
	u32 first_page;
	u32 pages;
	u32 flags;
};

/* A rule of the unwind table that does not fit into a row; see tracer/native. */
#define RULE_INVALID   0
#define RULE_STOP      1
#define RULE_FP	       2
#define RULE_PLT       3
#define RULE_SIGNAL    4
#define RULE_GO_SWITCH 5
#define RULE_FIRST     16

#define CFA_REG		0
#define CFA_DEREF	1
#define CFA_GO_CALLBACK 2
#define CFA_GO_CALL	3 /* arm64 only, as is the next */
#define CFA_GO_PREEMPT	4

#define RA_CFA_MINUS_8 0
#define RA_CFA_OFFSET  1
#define RA_REGISTER    2
#define RA_UNDEFINED   3

#define FP_UNCHANGED  0
#define FP_CFA_OFFSET 1
#define FP_FP_OFFSET  2
#define FP_UNDEFINED  3

struct unwind_rule {
	u8 cfa_kind;
	u8 cfa_reg;
	u8 ra_kind;
	u8 fp_kind;
	s32 cfa_off;
	s32 cfa_off2;
	s32 ra_off;
	s32 fp_off;
};

/* Why a user stack ended. */
enum unwind_end {
	END_COMPLETE,
	END_NO_USER, /* a kernel thread, or the process is exiting */
	END_PROCESS_UNKNOWN,
	END_COMPAT,
	END_NO_REGS,
	END_PC_UNMAPPED,
	END_TABLE_MISS,
	END_TABLE_CORRUPT,
	END_STACK_READ,
	END_REGISTER,
	END_FRAME_POINTER,
	END_NO_PROGRESS,
	END_DEPTH,
	END_RUNTIME, /* a runtime's frames could not be followed; an error frame says why */
	END_OUTSIDE, /* the process is in a PID namespace that user space cannot see */
	END_SWITCH,  /* never in a record: the next frame is for another runtime's program */
};

/* Runtimes: the index of their program in runtime_programs, and part of their frames. */
enum runtime_id {
	RUNTIME_NONE,
	RUNTIME_PYTHON,
	RUNTIME_HOTSPOT,
	RUNTIME_V8,
	RUNTIME_RUBY,
	RUNTIME_PHP,
	RUNTIME_PERL,
	RUNTIME_LUAJIT,
	RUNTIME_LUA,
	RUNTIME_BEAM,
	RUNTIME_DOTNET,
	RUNTIME_GO,
	RUNTIME_COUNT,
};
#define MAX_RUNTIMES 16

/* Why frames of a runtime are missing. Texts are in tracer/interpreter. */
enum runtime_error {
	RTERR_NONE,
	RTERR_NO_RECORD,   /* the process's record is not there yet, or was evicted */
	RTERR_READ,	   /* memory of the process could not be read */
	RTERR_THREAD,	   /* the thread's own state was not found */
	RTERR_BAD_FRAME,   /* a frame that cannot be */
	RTERR_LOOP,	   /* the list of frames does not end */
	RTERR_UNSUPPORTED, /* a kind of frame that is not known */
	RTERR_CODE,	   /* compiled code of which nothing is known */
	RTERR_STACK,	   /* the native stack does not fit the runtime's frames */
	RTERR_COUNT,
};
#define MAX_RUNTIME_ERRORS 16

/* What a process runs on: set by user space, inherited by children. */
#define PROCESS_RUNTIMES 2
struct runtime_slot {
	u32 runtime; /* enum runtime_id */
	u32 record;  /* key of the runtime's own map of processes */
};

struct runtime_process {
	u64 mm; /* 0: the next sample fills it in */
	struct runtime_slot slot[PROCESS_RUNTIMES];
};

/* Parts of a runtime's executable that its program handles, by file offset. */
#define MAX_CODE_RANGES 8
struct code_range {
	u64 start, end;
	u32 tag; /* of the runtime's own */
	u32 reserved;
};

struct runtime_executable {
	u32 runtime;
	u32 count;
	struct code_range range[MAX_CODE_RANGES];
};

/* A sample, in the samples ring: the header, then kernel and user frames, leaf
 * first. A compact sample is the header alone; its stack has been sent before
 * under the same hash and user space has confirmed that it has it. */
struct sample_header {
	u64 time; /* ns since boot */
	u64 hash_hi;
	u64 hash_lo;
	u64 labels; /* hash of the labels that the program set, 0: none */
	u64 cgroup_id;
	u64 start_time; /* of the process, ns since boot */
	u64 value;
	u32 tgid;
	u32 tid;
	u32 ppid;
	u32 main_exec;
	u32 cpu;
	u16 kernel_frames;
	u16 user_words; /* words of user frames */
	u8 type;
	u8 end; /* enum unwind_end */
	u8 compact;
	u8 runtime; /* enum runtime_id: what the process was known to run on first */
	u32 execs;  /* changes when the process becomes another program */
	char comm[16];
};

/* In the ring of samples too: a set of labels, before the first sample that has
 * it. It is a header with this type and hash, and the slots behind it. */
#define SAMPLE_TYPE_LABELS 0xff

#define MAX_LABELS	10
#define LABEL_KEY_MAX	24
#define LABEL_VALUE_MAX 64
struct label {
	u32 key_length; /* as the program has it, may be more than fits */
	u32 value_length;
	char key[LABEL_KEY_MAX];
	char value[LABEL_VALUE_MAX];
};

enum event_type {
	EVENT_NEW_FILE = 1, /* exec_id, key, and where it is mapped */
	EVENT_PAGE_MISS,    /* exec_id, page, and where it is mapped */
	EVENT_REFRESH,	    /* tgid: its mappings are unknown or have changed. start: its mm. page: 1 if code ran where none is known */
	EVENT_RUNTIME,	    /* tgid: it runs on a runtime that it has no record of, or may do so */
};

/* A request to user space, in the events ring. */
struct event {
	u32 type;
	u32 tgid;
	u32 exec_id;
	u32 page;
	u64 start, end; /* the mapping */
	u64 sp;		/* EVENT_PAGE_MISS: where the rest of the stack is */
	struct file_key key;
};

#define FILTER_INCLUDE 1
#define FILTER_EXCLUDE 2

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_COUNTERS_H
#define STROBE_COUNTERS_H

/*
 * The one table of everything that the kernel side counts. Go reads this file
 * when it is generated, so an entry has the form
 *   COUNTER(NAME, reason, meaning), the last two in double quotes,
 * on one line. New entries go to the end; an entry is never removed or reused.
 */
#define STROBE_COUNTERS(COUNTER)                                                                                                \
	COUNTER(SAMPLES, "samples", "samples taken, before filters")                                                            \
	COUNTER(SAMPLES_IDLE, "idle", "samples of idle CPUs, left out")                                                         \
	COUNTER(SAMPLES_FILTERED, "filtered", "samples left out by the user's filters")                                         \
	COUNTER(SAMPLES_SENT_FULL, "sent_full", "samples handed to user space with their stack")                                \
	COUNTER(SAMPLES_SENT_COMPACT, "sent_compact", "samples handed to user space by the hash of a confirmed stack")          \
	COUNTER(DROP_RING_FULL, "ring_full", "samples lost because user space did not read the ring in time")                   \
	COUNTER(DROP_EVENT_RING_FULL, "event_ring_full", "requests to user space lost because its ring was full")               \
	COUNTER(FRAMES_USER, "user_frames", "user frames unwound")                                                              \
	COUNTER(FRAMES_KERNEL, "kernel_frames", "kernel frames recorded")                                                       \
	COUNTER(STACKS_COMPLETE, "complete", "user stacks unwound to the root")                                                 \
	COUNTER(ERR_PROCESS_UNKNOWN, "process_unknown", "user stacks missing because the process was not known yet")            \
	COUNTER(ERR_COMPAT, "compat_process", "user stacks missing because 32-bit processes are not supported")                 \
	COUNTER(ERR_NO_REGS, "no_registers", "user stacks missing because the registers could not be read")                     \
	COUNTER(ERR_PC_UNMAPPED, "pc_unmapped", "user stacks cut short at an address outside every known mapping")              \
	COUNTER(ERR_TABLE_MISS, "table_miss", "user stacks cut short because the page of the unwind table was not loaded")      \
	COUNTER(ERR_TABLE_CORRUPT, "table_corrupt", "user stacks cut short at an inconsistent unwind table entry")              \
	COUNTER(ERR_STACK_READ, "stack_read", "user stacks cut short at stack memory that could not be read")                   \
	COUNTER(ERR_REGISTER, "register_unknown", "user stacks cut short at a frame that needs a register that is not tracked") \
	COUNTER(ERR_FRAME_POINTER, "frame_pointer", "user stacks cut short in code without unwind table nor frame pointer")     \
	COUNTER(ERR_NO_PROGRESS, "no_progress", "user stacks cut short because the stack pointer did not move")                 \
	COUNTER(ERR_DEPTH, "depth", "user stacks cut short at the maximum depth")                                               \
	COUNTER(ERR_KERNEL_STACK, "kernel_stack", "kernel stacks that could not be read")                                       \
	COUNTER(PAGE_REQUESTS, "page_requests", "pages of unwind tables requested from user space")                             \
	COUNTER(REFRESH_REQUESTS, "refresh_requests", "rereads of a process's mappings requested from user space")              \
	COUNTER(WALKS, "walks", "walks over a process's mappings in the kernel")                                                \
	COUNTER(WALK_BUSY, "walk_busy", "walks given up because the address space was locked")                                  \
	COUNTER(WALK_TRUNCATED, "walk_truncated", "walks that met more executable mappings than a process may have")            \
	COUNTER(PROCESS_TABLE_FULL, "process_table_full", "processes not recorded because the table was full")                  \
	COUNTER(EXECUTABLE_IDS_EXHAUSTED, "executable_ids_exhausted", "executables not recorded because all IDs were in use")   \
	COUNTER(FORKS, "forks", "forks that inherited their parent's mappings")                                                 \
	COUNTER(EXECS, "execs", "execs seen")                                                                                   \
	COUNTER(EXITS, "exits", "exits of known processes")                                                                     \
	COUNTER(SCRATCH_BUSY, "scratch_busy", "events skipped because the CPU's working memory was in use")                     \
	COUNTER(RUNTIME_REQUESTS, "runtime_requests", "requests to find out what a process runs on")                            \
	COUNTER(ERR_RUNTIME, "runtime", "user stacks cut short in the frames of an interpreter or in compiled code")            \
	COUNTER(RUNTIME_SWITCHES, "runtime_switches", "times that unwinding passed from one runtime's program to another's") \
	COUNTER(LABELS_CUT, "labels_cut", "samples whose program had set more labels than are kept")                            \
	COUNTER(LABELS_UNREADABLE, "labels_unreadable", "samples whose labels could not be read")                               \
	COUNTER(DROP_LABELS, "labels_ring_full", "sets of labels lost because user space did not read the ring in time") \
	COUNTER(ERR_OUTSIDE, "outside_pid_namespace", "user stacks missing because the process is outside of the agent's PID namespace")

enum strobe_counter {
#define COUNTER(name, reason, help) CTR_##name,
	STROBE_COUNTERS(COUNTER)
#undef COUNTER
		CTR_COUNT,
};

#endif

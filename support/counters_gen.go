// SPDX-License-Identifier: Apache-2.0

// Code generated from ebpf/counters.h. DO NOT EDIT.

package support

// Counters of the kernel side, by index.
const (
	CounterSamples                = 0
	CounterSamplesIdle            = 1
	CounterSamplesFiltered        = 2
	CounterSamplesSentFull        = 3
	CounterSamplesSentCompact     = 4
	CounterDropRingFull           = 5
	CounterDropEventRingFull      = 6
	CounterFramesUser             = 7
	CounterFramesKernel           = 8
	CounterStacksComplete         = 9
	CounterErrProcessUnknown      = 10
	CounterErrCompat              = 11
	CounterErrNoRegs              = 12
	CounterErrPcUnmapped          = 13
	CounterErrTableMiss           = 14
	CounterErrTableCorrupt        = 15
	CounterErrStackRead           = 16
	CounterErrRegister            = 17
	CounterErrFramePointer        = 18
	CounterErrNoProgress          = 19
	CounterErrDepth               = 20
	CounterErrKernelStack         = 21
	CounterPageRequests           = 22
	CounterRefreshRequests        = 23
	CounterWalks                  = 24
	CounterWalkBusy               = 25
	CounterWalkTruncated          = 26
	CounterProcessTableFull       = 27
	CounterExecutableIdsExhausted = 28
	CounterForks                  = 29
	CounterExecs                  = 30
	CounterExits                  = 31
	CounterScratchBusy            = 32
	CounterRuntimeRequests        = 33
	CounterErrRuntime             = 34
	CounterRuntimeSwitches        = 35
	CounterLabelsCut              = 36
	CounterLabelsUnreadable       = 37
	CounterDropLabels             = 38
	CounterErrOutside             = 39
)

// Counter describes a counter of the kernel side.
type Counter struct {
	// Reason is its label in metrics, Help says what it counts.
	Reason, Help string
}

// Counters lists the counters of the kernel side by index.
var Counters = [...]Counter{
	{"samples", "samples taken, before filters"},
	{"idle", "samples of idle CPUs, left out"},
	{"filtered", "samples left out by the user's filters"},
	{"sent_full", "samples handed to user space with their stack"},
	{"sent_compact", "samples handed to user space by the hash of a confirmed stack"},
	{"ring_full", "samples lost because user space did not read the ring in time"},
	{"event_ring_full", "requests to user space lost because its ring was full"},
	{"user_frames", "user frames unwound"},
	{"kernel_frames", "kernel frames recorded"},
	{"complete", "user stacks unwound to the root"},
	{"process_unknown", "user stacks missing because the process was not known yet"},
	{"compat_process", "user stacks missing because 32-bit processes are not supported"},
	{"no_registers", "user stacks missing because the registers could not be read"},
	{"pc_unmapped", "user stacks cut short at an address outside every known mapping"},
	{"table_miss", "user stacks cut short because the page of the unwind table was not loaded"},
	{"table_corrupt", "user stacks cut short at an inconsistent unwind table entry"},
	{"stack_read", "user stacks cut short at stack memory that could not be read"},
	{"register_unknown", "user stacks cut short at a frame that needs a register that is not tracked"},
	{"frame_pointer", "user stacks cut short in code without unwind table nor frame pointer"},
	{"no_progress", "user stacks cut short because the stack pointer did not move"},
	{"depth", "user stacks cut short at the maximum depth"},
	{"kernel_stack", "kernel stacks that could not be read"},
	{"page_requests", "pages of unwind tables requested from user space"},
	{"refresh_requests", "rereads of a process's mappings requested from user space"},
	{"walks", "walks over a process's mappings in the kernel"},
	{"walk_busy", "walks given up because the address space was locked"},
	{"walk_truncated", "walks that met more executable mappings than a process may have"},
	{"process_table_full", "processes not recorded because the table was full"},
	{"executable_ids_exhausted", "executables not recorded because all IDs were in use"},
	{"forks", "forks that inherited their parent's mappings"},
	{"execs", "execs seen"},
	{"exits", "exits of known processes"},
	{"scratch_busy", "events skipped because the CPU's working memory was in use"},
	{"runtime_requests", "requests to find out what a process runs on"},
	{"runtime", "user stacks cut short in the frames of an interpreter or in compiled code"},
	{"runtime_switches", "times that unwinding passed from one runtime's program to another's"},
	{"labels_cut", "samples whose program had set more labels than are kept"},
	{"labels_unreadable", "samples whose labels could not be read"},
	{"labels_ring_full", "sets of labels lost because user space did not read the ring in time"},
	{"outside_pid_namespace", "user stacks missing because the process is outside of the agent's PID namespace"},
}

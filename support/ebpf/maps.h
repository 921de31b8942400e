/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_MAPS_H
#define STROBE_MAPS_H

/* Sizes that depend on the configuration are set by user space before loading. */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CTR_COUNT);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct mapping_key);
	__type(value, struct mapping_chunk);
} mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct file_key);
	__type(value, u32);
} files SEC(".maps");

/* IDs of executables that are free; user space fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 32768);
	__type(value, u32);
} free_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct executable);
} executables SEC(".maps");

/* One entry per page of unwind table, used or not; 131,072 cover 8 GiB of code. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__type(key, u32);
	__type(value, u64);
} page_dir SEC(".maps");

/* When a page was last used, in epochs of user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, u32);
	__type(value, u32);
} page_used SEC(".maps");

/* The slab of rows: segments that user space adds as they are needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1024);
	__type(key, u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_MMAPABLE);
		__uint(max_entries, 1);
		__uint(key_size, 4);
		__uint(value_size, SEGMENT_ROWS * 4);
	});
} row_segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, u32);
	__type(value, struct unwind_rule);
} rules SEC(".maps");

struct stack_key {
	u64 hi, lo;
};

/* Stacks that user space has confirmed to hold. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct stack_key);
	__type(value, u32);
} confirmed SEC(".maps");

/* When a process's mappings were last requested, ns since boot. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} refreshed SEC(".maps");

/* Filters: by process, and by cgroup ID. Values are FILTER_INCLUDE or FILTER_EXCLUDE. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u8);
} filter_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u8);
} filter_cgroups SEC(".maps");

/* What processes run on. The least recently sampled gives way to a new one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u32);
	__type(value, struct runtime_process);
} runtime_processes SEC(".maps");

/* By executable ID. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct runtime_executable);
} runtime_executables SEC(".maps");

/* The program of each runtime that has been seen, by enum runtime_id. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, MAX_RUNTIMES);
	__uint(key_size, 4);
	__uint(value_size, 4);
} runtime_programs SEC(".maps");

/* Errors by runtime and enum runtime_error. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_RUNTIMES * MAX_RUNTIME_ERRORS);
	__type(key, u32);
	__type(value, u64);
} runtime_errors SEC(".maps");

/* Frames by runtime. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_RUNTIMES);
	__type(key, u32);
	__type(value, u64);
} runtime_frames SEC(".maps");

struct runtime_request {
	u64 next; /* ns since boot: no new request before */
	u64 tries;
};

/* When a process's runtimes may be requested again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct runtime_request);
} runtime_requests SEC(".maps");

static __always_inline void count(u32 counter)
{
	u64 *v = bpf_map_lookup_elem(&counters, &counter);
	if (v)
		*v += 1;
}

static __always_inline void count_n(u32 counter, u64 n)
{
	u64 *v = bpf_map_lookup_elem(&counters, &counter);
	if (v)
		*v += n;
}

static __always_inline void send_event(struct event *e)
{
	if (bpf_ringbuf_output(&events, e, sizeof(*e), 0))
		count(CTR_DROP_EVENT_RING_FULL);
}

#endif

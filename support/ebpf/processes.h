/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_PROCESSES_H
#define STROBE_PROCESSES_H

/*
 * Processes are followed in the kernel: a fork inherits its parent's mappings,
 * and the mappings are read again when a file's page is first touched and the
 * amount of mapped code has changed. So the table is right before the code of a
 * new library runs for the first time, without any work in user space.
 */

struct walk_scratch {
	u32 busy;
	u32 reserved;
	struct process proc;
	struct mapping_chunk chunk;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct walk_scratch);
} walk_map SEC(".maps");

static __always_inline s64 modified(struct inode *inode)
{
	struct inode___mtime_sec *recent = (void *)inode;
	if (bpf_core_field_exists(recent->i_mtime_sec))
		return recent->i_mtime_sec;
	struct inode___mtime_private *private = (void *)inode;
	if (bpf_core_field_exists(private->__i_mtime))
		return private->__i_mtime.tv_sec;
	struct inode___mtime_public *public = (void *)inode;
	if (bpf_core_field_exists(public->i_mtime))
		return public->i_mtime.tv_sec;
	return 0;
}

/* The ID of the executable that a file is, given out at first sight. */
static __noinline u32 executable_id(struct file *file, u32 tgid, u64 start, u64 end)
{
	struct inode *inode = file->f_inode;
	struct file_key key = {};

	key.ino = inode->i_ino;
	key.dev = inode->i_sb->s_dev;
	key.size = inode->i_size;
	key.mtime = modified(inode);

	u32 *known = bpf_map_lookup_elem(&files, &key);
	if (known)
		return *known;

	u32 id;
	if (bpf_map_pop_elem(&free_ids, &id)) {
		count(CTR_EXECUTABLE_IDS_EXHAUSTED);
		return EXEC_NONE;
	}
	if (bpf_map_update_elem(&files, &key, &id, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_ids, &id, 0);
		known = bpf_map_lookup_elem(&files, &key);
		return known ? *known : EXEC_NONE;
	}
	struct event e = {.type = EVENT_NEW_FILE, .tgid = tgid, .exec_id = id, .start = start, .end = end, .key = key};
	send_event(&e);
	return id;
}

static __noinline bool flush_chunk(struct walk_scratch *w, u32 tgid)
{
	struct mapping_key key = {.tgid = tgid, .chunk = w->proc.chunks};

	if (w->proc.chunks >= MAX_CHUNKS)
		return false;
	w->proc.first[w->proc.chunks & (MAX_CHUNKS - 1)] = w->chunk.m[0].start;
	w->chunk.version = w->proc.exec_vm;
	if (bpf_map_update_elem(&mappings, &key, &w->chunk, BPF_ANY)) {
		count(CTR_PROCESS_TABLE_FULL);
		return false;
	}
	w->proc.chunks++;
	w->chunk.count = 0;
	return true;
}

static __always_inline void fill_process(struct process *p, struct task_struct *task, struct mm_struct *mm)
{
	p->mm = (u64)mm;
	p->start_time = task->group_leader->start_boottime;
	p->ppid = process_of(task->real_parent);
}

/* Tells user space of a process that maps a runtime, before its first sample. */
static __always_inline void announce_runtime(u32 tgid, u64 mm)
{
	struct runtime_process *known = bpf_map_lookup_elem(&runtime_processes, &tgid);
	if (known && (known->mm == mm || !known->mm))
		return;
	count(CTR_RUNTIME_REQUESTS);
	struct event e = {.type = EVENT_RUNTIME, .tgid = tgid};
	send_event(&e);
}

/*
 * Reads the executable mappings of a process into its record. The iterator holds the lock
 * of the mappings, and all is written while it does: whoever else reads the same process
 * at the same time reads and writes the same.
 */
static __always_inline int walk_mappings(struct task_struct *task, struct mm_struct *mm)
{
	u32 zero = 0, tgid = process_of(task);
	struct walk_scratch *w = bpf_map_lookup_elem(&walk_map, &zero);

	if (!w || !tgid) /* nothing of a process that user space cannot see can be read there */
		return 0;
	if (w->busy) {
		count(CTR_SCRATCH_BUSY);
		return 0;
	}
	w->busy = 1;
	count(CTR_WALKS);
	fill_process(&w->proc, task, mm);
	w->proc.mappings = 0;
	w->proc.chunks = 0;
	w->proc.main_exec = EXEC_NONE;
	w->chunk.count = 0;

	struct inode *main_inode = mm->exe_file->f_inode;
	u64 vdso = (u64)mm->context.vdso;
	bool truncated = false, runtime = false;
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;

	int err = bpf_iter_task_vma_new(&it, task, 0);
	w->proc.exec_vm = mm->exec_vm;
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (!(vma->vm_flags & VM_EXEC))
			continue;
		u64 start = vma->vm_start, end = vma->vm_end;
		struct file *file = vma->vm_file;
		u32 id = EXEC_NONE, pgoff = 0;
		if (file) {
			id = executable_id(file, tgid, start, end);
			pgoff = vma->vm_pgoff;
			if (file->f_inode == main_inode)
				w->proc.main_exec = id;
			struct executable *exec = bpf_map_lookup_elem(&executables, &id);
			if (exec && (exec->flags & EXEC_RUNTIME))
				runtime = true;
		} else if (start == vdso) {
			id = EXEC_VDSO;
		}
		u32 n = w->chunk.count;
		if (n >= CHUNK_MAPPINGS) {
			if (!flush_chunk(w, tgid)) {
				truncated = true;
				break;
			}
			n = 0;
		}
		struct mapping *m = &w->chunk.m[n & (CHUNK_MAPPINGS - 1)];
		m->start = start;
		m->pages = (end - start) >> 12;
		m->pgoff = pgoff;
		m->exec_id = id;
		w->chunk.count = n + 1;
		w->proc.mappings++;
	}
	if (err) {
		/* Locked right now: the next fault tries again, as the record is left stale. */
		count(CTR_WALK_BUSY);
	} else {
		if (!truncated && w->chunk.count && !flush_chunk(w, tgid))
			truncated = true;
		if (truncated)
			count(CTR_WALK_TRUNCATED);
		if (bpf_map_update_elem(&processes, &tgid, &w->proc, BPF_ANY))
			count(CTR_PROCESS_TABLE_FULL);
	}
	bpf_iter_task_vma_destroy(&it);
	if (!err && runtime)
		announce_runtime(tgid, (u64)mm);
	w->busy = 0;
	return 0;
}

static __always_inline void forget_process(u32 tgid)
{
	bpf_map_delete_elem(&runtime_processes, &tgid);
	struct process *p = bpf_map_lookup_elem(&processes, &tgid);
	if (!p)
		return;
	struct mapping_key key = {.tgid = tgid};
	u32 n = p->chunks;
	for (int i = 0; i < MAX_CHUNKS; i++) {
		if (i >= n)
			break;
		key.chunk = i;
		bpf_map_delete_elem(&mappings, &key);
	}
	bpf_map_delete_elem(&processes, &tgid);
	count(CTR_EXITS);
}

static __always_inline void inherit(struct task_struct *parent, struct task_struct *child)
{
	u32 from = process_of(parent), to = process_of(child), zero = 0;
	struct mm_struct *mm = child->mm;

	if (!from || !to)
		return;
	if (wanted & WANT_CHILDREN) {
		u8 *action = bpf_map_lookup_elem(&filter_pids, &from);
		if (action) {
			u8 copy = *action;
			bpf_map_update_elem(&filter_pids, &to, &copy, BPF_ANY);
		}
	}
	/* The child is a copy: all addresses are the same. */
	struct runtime_process *r = bpf_map_lookup_elem(&runtime_processes, &from);
	if (r && mm && (!r->mm || r->mm == (u64)parent->mm)) {
		struct runtime_process own = *r;
		own.mm = (u64)mm;
		bpf_map_update_elem(&runtime_processes, &to, &own, BPF_ANY);
	}
	struct process *p = bpf_map_lookup_elem(&processes, &from);
	struct walk_scratch *w = bpf_map_lookup_elem(&walk_map, &zero);
	if (!p || !w || !mm)
		return;
	if (w->busy) {
		count(CTR_SCRATCH_BUSY);
		return;
	}
	w->busy = 1;
	__builtin_memcpy(&w->proc, p, sizeof(w->proc));
	w->proc.mm = (u64)mm;
	w->proc.start_time = child->start_boottime;
	w->proc.ppid = from;

	struct mapping_key key = {.tgid = from}, copy = {.tgid = to};
	u32 n = w->proc.chunks;
	for (int i = 0; i < MAX_CHUNKS; i++) {
		if (i >= n)
			break;
		key.chunk = copy.chunk = i;
		struct mapping_chunk *c = bpf_map_lookup_elem(&mappings, &key);
		if (!c || bpf_map_update_elem(&mappings, &copy, c, BPF_ANY))
			break;
	}
	if (bpf_map_update_elem(&processes, &to, &w->proc, BPF_ANY))
		count(CTR_PROCESS_TABLE_FULL);
	count(CTR_FORKS);
	w->busy = 0;
}

#endif

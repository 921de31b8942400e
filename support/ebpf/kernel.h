/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef STROBE_KERNEL_H
#define STROBE_KERNEL_H

/* The parts of kernel structures that are used, by name: CO-RE finds the offsets. */

#define __core __attribute__((preserve_access_index))

struct signal_struct {
	struct {
		s32 counter;
	} live;
} __core;

struct super_block {
	u32 s_dev;
} __core;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	s64 i_size;
} __core;

/* From 6.11 on. */
struct inode___mtime_sec {
	s64 i_mtime_sec;
} __core;

struct timespec64___strobe {
	s64 tv_sec;
} __core;

/* 6.7 to 6.10, and before. */
struct inode___mtime_private {
	struct timespec64___strobe __i_mtime;
} __core;

struct inode___mtime_public {
	struct timespec64___strobe i_mtime;
} __core;

struct file {
	struct inode *f_inode;
} __core;

struct mm_struct;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
} __core;

typedef struct {
	void *vdso;
} __core mm_context_t;

struct mm_struct {
	unsigned long exec_vm;
	struct file *exe_file;
	mm_context_t context;
} __core;

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase;
} __core;
#else
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
} __core;
#endif

#if defined(__TARGET_ARCH_x86)
struct pt_regs___kernel {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip;
	unsigned long flags, sp;
} __core;
#endif

/* Where a process is in the tree of PID namespaces, and its number in each. */
struct ns_common {
	unsigned int inum;
} __core;

struct pid_namespace {
	struct ns_common ns;
} __core;

struct upid {
	int nr;
	struct pid_namespace *ns;
} __core;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} __core;

struct task_struct {
	int pid;
	int tgid;
	unsigned int flags;
	u64 start_boottime;
	u64 self_exec_id;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	struct pid *thread_pid;
	struct thread_struct thread;
} __core;

#define PF_KTHREAD 0x00200000
#define VM_EXEC	   0x00000004

/* The iterator over the mappings of a task, from 6.7 on. */
struct bpf_iter_task_vma {
	u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_task_vma_new(struct bpf_iter_task_vma *it, struct task_struct *task, u64 addr) __ksym __weak;
extern struct vm_area_struct *bpf_iter_task_vma_next(struct bpf_iter_task_vma *it) __ksym __weak;
extern void bpf_iter_task_vma_destroy(struct bpf_iter_task_vma *it) __ksym __weak;

#endif

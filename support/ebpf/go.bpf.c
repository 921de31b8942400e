/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Go: its frames are native ones. What is added to a sample are the labels that
 * the program set on the goroutine (runtime/pprof.Do).
 */
#include "all.h"
#include "runtime.h"

struct go_process {
	u32 g_labels; /* offset of runtime.g.labels */
	u32 as_list;  /* labels are a list (Go 1.24 and later), else a map */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct go_process);
} go_processes SEC(".maps");

/* m.curg: before and from Go 1.25, when a word left gobuf. g.m, m.g0 have not
 * moved since Go 1.5; see arch_x86.h. */
#define M_CURG_OLD 192
#define M_CURG	   184
#define G_M	   48

/* A map with a single bucket holds 8 labels, with two 16. */
#define BUCKET_SLOTS  8
#define BUCKET_KEYS   8
#define BUCKET_VALUES (BUCKET_KEYS + BUCKET_SLOTS * 16)
#define BUCKET_SIZE   (BUCKET_VALUES + BUCKET_SLOTS * 16 + 8)

struct label_record {
	struct sample_header hdr;
	struct label label[MAX_LABELS];
};

struct label_scratch {
	struct label_record rec;
	u64 from;	/* the list, or the first bucket */
	u64 n;		/* elements to look at */
	u32 count;	/* labels read */
	u32 as_list;
	u32 failed;
	u32 cut;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct label_scratch);
} label_map SEC(".maps");

struct go_string {
	u64 data, length;
};

static __always_inline bool read_text(char *to, u64 room, struct go_string *s)
{
	u64 n = s->length;

	if (!n)
		return true;
	if (n > room)
		n = room;
	asm volatile("" : "+r"(n));
	if (n > room)
		return false;
	return !bpf_probe_read_user(to, n, (void *)s->data);
}

struct label_context {
	struct label_scratch *l;
};

static long label_step(u32 i, struct label_context *c)
{
	struct label_scratch *l = c->l;
	struct go_string pair[2];
	u32 n = l->count;

	if (i >= l->n)
		return 1;
	if (l->as_list) {
		if (!read_user(pair, sizeof(pair), l->from + (u64)i * sizeof(pair)))
			goto failed;
	} else {
		u64 bucket = l->from + (u64)(i / BUCKET_SLOTS) * BUCKET_SIZE, slot = i & (BUCKET_SLOTS - 1);
		u8 top;
		if (!read_user(&top, 1, bucket + slot))
			goto failed;
		if (top < 5) /* an empty slot */
			return 0;
		if (!read_user(&pair[0], 16, bucket + BUCKET_KEYS + slot * 16) ||
		    !read_user(&pair[1], 16, bucket + BUCKET_VALUES + slot * 16))
			goto failed;
	}
	if (n >= MAX_LABELS) {
		l->cut = 1;
		return 1;
	}
	struct label *label = &l->rec.label[n];
	__builtin_memset(label, 0, sizeof(*label));
	label->key_length = pair[0].length;
	label->value_length = pair[1].length;
	if (!read_text(label->key, LABEL_KEY_MAX, &pair[0]) || !read_text(label->value, LABEL_VALUE_MAX, &pair[1]))
		goto failed;
	u64 h = l->rec.hdr.labels;
#pragma unroll
	for (int w = 0; w < sizeof(*label) / 8; w++) {
		h = (h ^ ((u64 *)label)[w]) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	l->rec.hdr.labels = h;
	l->count = n + 1;
	return 0;
failed:
	l->failed = 1;
	return 1;
}

/* The goroutine that runs: the thread's g, or, on the scheduler's stack, the one
 * that the thread works for. Every link is checked against its way back. */
static __always_inline bool current_goroutine(struct unwind_state *st, u64 *g)
{
	u64 m, g0, owner;

#if defined(__TARGET_ARCH_x86)
	if (!read_u64(thread_pointer() + (s64)GO_TLS_G, g))
		return false;
#else
	*g = st->gpr[28];
#endif
	if (!*g || !read_u64(*g + G_M, &m) || !m || !read_u64(m, &g0))
		return false;
	if (*g != g0)
		return true;
	u64 curg;
	if (read_u64(m + M_CURG, &curg) && curg && read_u64(curg + G_M, &owner) && owner == m) {
		*g = curg;
		return true;
	}
	if (read_u64(m + M_CURG_OLD, &curg) && curg && read_u64(curg + G_M, &owner) && owner == m) {
		*g = curg;
		return true;
	}
	return false; /* the scheduler itself */
}

static __always_inline bool find_labels(struct label_scratch *l, struct go_process *p, u64 g)
{
	u64 labels, head[3];

	if (!read_u64(g + p->g_labels, &labels)) {
		l->failed = 1;
		return false;
	}
	if (!labels)
		return false;
	l->as_list = p->as_list;
	if (p->as_list) {
		if (!read_user(head, sizeof(head), labels)) {
			l->failed = 1;
			return false;
		}
		l->from = head[0];
		l->n = head[1];
		if (l->n > MAX_LABELS) {
			l->n = MAX_LABELS;
			l->cut = 1;
		}
		return l->n;
	}
	/* *map, then: count, flags and B, hash0, buckets */
	u64 map;
	if (!read_u64(labels, &map) || (map && !read_user(head, sizeof(head), map))) {
		l->failed = 1;
		return false;
	}
	if (!map || !head[0])
		return false;
	u32 b = (head[1] >> 8) & 0xff;
	l->from = head[2];
	l->n = BUCKET_SLOTS << (b & 1);
	if (b > 1)
		l->cut = 1;
	return true;
}

static __always_inline void read_labels(struct loop_context *c)
{
	struct unwind_state *st = c->st;
	u32 zero = 0, id = st->slot[0].runtime == RUNTIME_GO ? st->slot[0].record : st->slot[1].record;
	struct go_process *p = bpf_map_lookup_elem(&go_processes, &id);
	struct label_scratch *l = bpf_map_lookup_elem(&label_map, &zero);
	u64 g;

	if (!l)
		return;
	if (!p) {
		request_runtime(st);
		return;
	}
	l->count = l->failed = l->cut = 0;
	l->rec.hdr.labels = hash_seed_lo;
	struct label_context lc = {.l = l};
	if (current_goroutine(st, &g) && find_labels(l, p, g))
		bpf_loop(2 * BUCKET_SLOTS, label_step, &lc, 0);
	if (l->failed)
		count(CTR_LABELS_UNREADABLE);
	if (l->cut)
		count(CTR_LABELS_CUT);
	if (!l->count)
		return;
	u64 hash = l->rec.hdr.labels ? l->rec.hdr.labels : 1;
	c->rec->hdr.labels = hash;

	struct stack_key key = {.hi = hash, .lo = SAMPLE_TYPE_LABELS};
	if (bpf_map_lookup_elem(&confirmed, &key))
		return;
	l->rec.hdr = c->rec->hdr;
	l->rec.hdr.type = SAMPLE_TYPE_LABELS;
	l->rec.hdr.user_words = l->count;
	u64 size = sizeof(l->rec.hdr) + (u64)l->count * sizeof(struct label);
	asm volatile("" : "+r"(size));
	if (size > sizeof(l->rec))
		return;
	if (bpf_ringbuf_output(&samples, &l->rec, size, output_flags()))
		count(CTR_DROP_LABELS);
}

static __always_inline int go_interpreter(struct loop_context *c, u32 tag)
{
	return STEP_NATIVE;
}

static __always_inline int go_code(struct loop_context *c, u64 pc)
{
	return STEP_NATIVE;
}

static __always_inline int go_frames(struct loop_context *c)
{
	c->st->mode = 0;
	return STEP_AGAIN;
}

RUNTIME_PROGRAM_BEGIN(RUNTIME_GO, go, read_labels, go_interpreter, go_code, go_frames);

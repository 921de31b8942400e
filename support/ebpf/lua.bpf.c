/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */

/*
 * Plain Lua is recognised and not unwound yet; see tracer/interpreter/lua. This
 * program steps over native frames and is never loaded by the agent.
 */
#include "all.h"
#include "runtime.h"

struct lua_process {
	u64 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lua_process);
} lua_processes SEC(".maps");

static __always_inline int lua_interpreter(struct loop_context *c, u32 tag)
{
	return STEP_NATIVE;
}

static __always_inline int lua_code(struct loop_context *c, u64 pc)
{
	return STEP_NATIVE;
}

static __always_inline int lua_frames(struct loop_context *c)
{
	c->st->mode = 0;
	return STEP_AGAIN;
}

RUNTIME_PROGRAM(RUNTIME_LUA, lua, lua_interpreter, lua_code, lua_frames);

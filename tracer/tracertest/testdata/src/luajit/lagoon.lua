-- Every way for Lua to call Lua, each with a leaf of its own; dive recurses 900 deep.
local U = 20000
local function burn(n) local x = 1; for i = 1, n do x = (x * 16807) % 2147483647 end return x end
local function coro_leaf() local r = burn(U) return r end
local function meta_leaf() local r = burn(U) return r end
local function sort_leaf() local r = burn(U / 4) return r end
local function gsub_leaf() local r = burn(U) return r end
local function vararg_leaf(...) local r = burn(U) return r + select('#', ...) end
local function xpcall_leaf() local r = burn(U) return r end
local function dive_leaf() local r = burn(5 * U) return r end
local function load_leaf() local r = burn(U) return r end
local mt = setmetatable({}, { __index = function(t, k) local r = meta_leaf() return r + 1 end, __add = function(a, b) local r = meta_leaf() return r + 1 end })
local function with_coro() local co = coroutine.wrap(function(a) local r = coro_leaf(); coroutine.yield(r); r = coro_leaf(); return r + 1 end); local x = co(1); x = co(2); return x end
local function with_meta() local x = mt.missing; x = x + (mt + 1); return x end
local function with_sort() local t = { 3, 1, 2 }; table.sort(t, function(a, b) local r = sort_leaf() return a < b end); return t[1] end
local function with_gsub() local s = string.gsub("a", "a", function(m) local r = gsub_leaf() return "b" end); return s end
local function with_vararg(...) local r = vararg_leaf(1, 2, ...) return r + 1 end
local function with_xpcall() local ok, v = xpcall(function() local r = xpcall_leaf() return r + 1 end, debug.traceback) return v end
global_load = load_leaf
local chunk = (loadstring or load)("local r = global_load() return r + 1", "@lagoon_chunk.lua")
local function with_load() local r = chunk() return r + 1 end
local function dive(d) local r; if d == 1 then r = dive_leaf() else r = dive(d - 1) end return r + d end
local function with_dive() local r = dive(900) return r + 1 end
local function round() with_coro(); with_meta(); with_sort(); with_gsub(); with_vararg(1, 2); with_xpcall(); with_load(); with_dive() end
io.write('runs\n'); io.flush(); local t_end = os.time() + tonumber(arg[1] or 5)
while os.time() < t_end do round() end

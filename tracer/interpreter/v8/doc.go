// SPDX-License-Identifier: Apache-2.0

// Package v8 names the functions of V8, the JavaScript engine of Node.js and
// Deno: interpreted, and compiled by any of its compilers, with what they inlined.
//
// The kernel side (support/ebpf/v8.bpf.c) finds the frames. It hands over the
// SharedFunctionInfo, the part of a function that all closures share, and where
// in the function the frame is: an offset in the bytecode, or an address in
// compiled code. Objects move and die, so that every frame carries a check of the
// function's content, and whatever is read here has its type compared first.
//
// Words of V8's heap are either small integers, which are even, or pointers to
// objects, which are odd: 1 more than the address. An object begins with a
// pointer to its map, which holds the object's type. Layouts come from the table
// of constants that V8 builds into an executable for debuggers (v8dbg_...);
// what that lacks follows from its neighbours or from the version.
package v8

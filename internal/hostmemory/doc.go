// SPDX-License-Identifier: Apache-2.0

// Package hostmemory says how much memory a program can have, and what to make of it:
// who takes more than its cgroup allows is killed, and started again, for ever.
package hostmemory

// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// userTick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every
// architecture that Linux still runs on, whatever the kernel's own HZ is.
const userTick = uint64(10 * time.Millisecond)

// flagKernelThread is PF_KTHREAD of include/linux/sched.h.
const flagKernelThread = 0x00200000

var errStatFormat = errors.New("not a stat file of a process")

// stat is what is used of /proc/PID/stat.
type stat struct {
	comm string
	// startTime is in nanoseconds since boot.
	startTime uint64
	// envStart is where the environment lies in the process's memory, 0 when the
	// kernel does not say. It is different after every exec, but for chance.
	envStart     uint64
	kernelThread bool
}

// Indices of the fields after the name, from proc(5), where they are numbered from 3.
const (
	statFlags     = 9 - 3
	statStartTime = 22 - 3
	statEnvStart  = 50 - 3
)

// parseStat reads the contents of /proc/PID/stat. The name may hold any byte,
// parentheses too, so the fields are counted from the last one.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("%w: no name", errStatFormat)
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) <= statStartTime {
		return stat{}, fmt.Errorf("%w: %d fields after the name", errStatFormat, len(fields))
	}
	flags, err := strconv.ParseUint(string(fields[statFlags]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("%w: flags: %w", errStatFormat, err)
	}
	ticks, err := strconv.ParseUint(string(fields[statStartTime]), 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("%w: start time: %w", errStatFormat, err)
	}
	s := stat{
		comm:         clean(string(b[open+1:end]), maxNameBytes),
		startTime:    ticks * userTick,
		kernelThread: flags&flagKernelThread != 0,
	}
	if len(fields) > statEnvStart {
		// Absent on old kernels and 0 without permission; then it tells nothing.
		s.envStart, _ = strconv.ParseUint(string(fields[statEnvStart]), 10, 64)
	}
	return s, nil
}

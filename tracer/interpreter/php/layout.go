// SPDX-License-Identifier: Apache-2.0

package php

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// maxRanges is MAX_CODE_RANGES of support/ebpf/types.h.
const maxRanges = 8

// version is a version of PHP.
type version struct{ major, minor, patch int }

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }

// layout holds the offsets that change with versions. What is not here has been
// the same since 7.1: zend_execute_data; the first 24 bytes of zend_function;
// zend_op.lineno; zend_string; zend_class_entry.name.
type layout struct {
	// currentCall is executor_globals.current_execute_data. It is taken from
	// the program's code where that is understood.
	currentCall uint64
	// zend_op_array. line_start and line_end follow filename.
	filename, opcodes, last uint16
	// zend_generator: execute_data, node.children, and the only child.
	generatorCall, generatorChildren, generatorChild uint16
	// zend_fiber: caller; 0 before there were fibers.
	fiberCaller uint16
}

// layouts are from Zend/zend_compile.h, zend_globals.h, zend_generators.h and
// zend_fibers.h of each version, for 64-bit machines.
var layouts = map[[2]int]layout{
	{7, 3}: {currentCall: 488, filename: 128, opcodes: 64, last: 60,
		generatorCall: 64, generatorChildren: 168, generatorChild: 184},
	{7, 4}: {currentCall: 488, filename: 136, opcodes: 64, last: 60,
		generatorCall: 64, generatorChildren: 168, generatorChild: 184},
	{8, 0}: {currentCall: 488, filename: 144, opcodes: 72, last: 68,
		generatorCall: 64, generatorChildren: 168, generatorChild: 184},
	{8, 1}: {currentCall: 488, filename: 144, opcodes: 72, last: 68,
		generatorCall: 56, generatorChildren: 160, generatorChild: 168, fiberCaller: 152},
	{8, 2}: {currentCall: 488, filename: 152, opcodes: 88, last: 80,
		generatorCall: 56, generatorChildren: 160, generatorChild: 168, fiberCaller: 168},
	{8, 3}: {currentCall: 488, filename: 144, opcodes: 80, last: 76,
		generatorCall: 56, generatorChildren: 160, generatorChild: 168, fiberCaller: 168},
	{8, 4}: {currentCall: 488, filename: 168, opcodes: 104, last: 96,
		generatorCall: 56, generatorChildren: 160, generatorChild: 168, fiberCaller: 168},
	{8, 5}: {currentCall: 488, filename: 168, opcodes: 104, last: 96,
		generatorCall: 56, generatorChildren: 160, generatorChild: 168, fiberCaller: 168},
}

func layoutOf(v version) (layout, bool) {
	l, ok := layouts[[2]int{v.major, v.minor}]
	return l, ok
}

var errNoVersion = errors.New("no version found")

// versionMark precedes the version in the header that PHP adds to its answers.
const versionMark = "X-Powered-By: PHP/"

// findVersion looks for the version among the constants of the program.
func findVersion(f *pfelf.File) (version, error) {
	const window = 1 << 20
	const overlap = 64
	s := f.FindSection(".rodata")
	if s == nil {
		return version{}, errNoVersion
	}
	size := min(s.Size, 64<<20)
	for off := uint64(0); off < size; off += window - overlap {
		b, err := f.ReadRange(s.Offset+off, min(window, size-off))
		if err != nil {
			return version{}, err
		}
		for {
			i := bytes.Index(b, []byte(versionMark))
			if i < 0 {
				break
			}
			b = b[i+len(versionMark):]
			if v, ok := parseVersion(b[:min(len(b), 16)]); ok {
				return v, nil
			}
		}
	}
	return version{}, errNoVersion
}

// parseVersion reads "8.2.35" at the start of b, which may go on with anything.
func parseVersion(b []byte) (version, bool) {
	var n [3]int
	for i := range n {
		k := 0
		for k < len(b) && k < 3 && b[k] >= '0' && b[k] <= '9' {
			k++
		}
		v, err := strconv.Atoi(string(b[:k]))
		if err != nil {
			return version{}, false
		}
		n[i] = v
		b = b[k:]
		if i < 2 {
			if len(b) == 0 || b[0] != '.' {
				return version{}, false
			}
			b = b[1:]
		}
	}
	return version{n[0], n[1], n[2]}, true
}

// SPDX-License-Identifier: Apache-2.0

package python

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
)

// version is that of CPython; major 0 is none.
type version struct{ major, minor, micro int }

// String returns the version as people write it.
func (v version) String() string {
	if v.micro < 0 {
		return fmt.Sprintf("%d.%d", v.major, v.minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.micro)
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func (v version) valid() bool {
	return v.major >= 2 && v.major <= 3 && v.minor >= 0 && v.minor < 100 && v.micro < 100
}

// currentBeforeKey is how far the pointer to the running thread's state lies
// before the key of the thread's own: both are members of _PyRuntime.gilstate,
// of which a member between them went away in 3.9. The key is the second half of
// a Py_tss_t. From 3.12 on the pointer is thread-local, and the key's value
// follows it.
func (v version) currentBeforeKey() uint64 {
	switch {
	case v.atLeast(3, 12) || !v.atLeast(3, 7):
		return 0
	case v.atLeast(3, 9):
		return 16 + 4
	}
	return 24 + 4
}

var (
	versionText = regexp.MustCompile(`^([23])\.(\d{1,2})\.(\d{1,2})(?:[abc+]|rc|$)`)
	versionName = regexp.MustCompile(`python([23])\.?(\d{1,2})`)
)

// readVersion reads the exported number (3.11 and later), the text that
// Py_GetVersion() refers to, or, when there is neither, the name of the file.
func readVersion(f *pfelf.File, base string) version {
	if s, ok := f.ExportedSymbol("Py_Version"); ok {
		var b [4]byte
		if _, err := f.ReadVaddr(b[:], s.Value); err == nil {
			n := binary.LittleEndian.Uint32(b[:])
			v := version{int(n >> 24), int(n >> 16 & 0xff), int(n >> 8 & 0xff)}
			if v.valid() {
				return v
			}
		}
	}
	if s, ok := f.Symbol("Py_GetVersion"); ok {
		for _, at := range addresses(f, s) {
			if v := versionAt(f, at); v.valid() {
				return v
			}
		}
	}
	if m := versionName.FindStringSubmatch(base); m != nil {
		return version{atoi(m[1]), atoi(m[2]), -1}
	}
	return version{}
}

func versionAt(f *pfelf.File, at uint64) version {
	var b [16]byte
	if _, err := f.ReadVaddr(b[:], at); err != nil {
		return version{}
	}
	text, _, _ := bytes.Cut(b[:], []byte{0})
	m := versionText.FindSubmatch(text)
	if m == nil {
		return version{}
	}
	return version{atoi(string(m[1])), atoi(string(m[2])), atoi(string(m[3]))}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

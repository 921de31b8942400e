// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestParseMappings(t *testing.T) {
	t.Parallel()
	const maps = `55d0c0a00000-55d0c0a02000 r--p 00000000 fd:01 1234                       /usr/bin/cat
55d0c0a02000-55d0c0a07000 r-xp 00002000 fd:01 1234                       /usr/bin/cat
7f0000000000-7f0000001000 rwxp 00000000 00:00 0
7f0000002000-7f0000003000 r-xp 00000000 00:05 99                         /memfd:a b (deleted)
7ffd1c9fe000-7ffd1ca00000 r-xp 00000000 00:00 0                          [vdso]
broken line
7f-7e r-xp 0 0:0 0
`
	got, err := ParseMappings(strings.NewReader(maps))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mapping{
		{Start: 0x55d0c0a02000, End: 0x55d0c0a07000, Offset: 0x2000, Major: 0xfd, Minor: 1, Inode: 1234, Path: "/usr/bin/cat"},
		{Start: 0x7f0000000000, End: 0x7f0000001000, Writable: true},
		{Start: 0x7f0000002000, End: 0x7f0000003000, Minor: 5, Inode: 99, Path: "/memfd:a b", Deleted: true},
		{Start: 0x7ffd1c9fe000, End: 0x7ffd1ca00000, Path: "[vdso]"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTooManyMappings(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range MaxMappings + 1 {
		fmt.Fprintf(&b, "%x-%x r-xp 0 00:00 0\n", 0x1000*(2*i+1), 0x1000*(2*i+2))
	}
	got, err := ParseMappings(strings.NewReader(b.String()))
	if !errors.Is(err, ErrTruncated) || len(got) != MaxMappings {
		t.Errorf("%d mappings, %v; want %d and ErrTruncated", len(got), err, MaxMappings)
	}
}

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	pid := libpf.PID(os.Getpid())
	maps, err := Mappings(pid)
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Readlink("/proc/self/exe")
	found := false
	for _, m := range maps {
		found = found || m.Path == exe && m.IsFile()
	}
	if !found {
		t.Errorf("own executable %s is not among %d mappings", exe, len(maps))
	}
	if ppid, err := Parent(pid); err != nil || int(ppid) != os.Getppid() {
		t.Errorf("Parent() = %d, %v; want %d", ppid, err, os.Getppid())
	}
}

func TestDescendants(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "sleep 60 & echo; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shell := libpf.PID(cmd.Process.Pid)
	b := make([]byte, 1)
	if _, err := out.Read(b); err != nil { // the child exists now
		t.Fatal(err)
	}
	got, err := Descendants([]libpf.PID{shell})
	if err != nil || len(got) != 1 {
		t.Errorf("Descendants() = %v, %v; want the sleep", got, err)
	}
	for _, pid := range got {
		if p, err := os.FindProcess(int(pid)); err == nil {
			_ = p.Kill()
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func FuzzParseMappings(f *testing.F) {
	f.Add("55d0c0a02000-55d0c0a07000 r-xp 00002000 fd:01 1234 /usr/bin/cat\n")
	f.Add("0-0 --x- 0 :")
	f.Fuzz(func(t *testing.T, s string) {
		maps, _ := ParseMappings(strings.NewReader(s))
		for _, m := range maps {
			if m.End <= m.Start {
				t.Errorf("mapping %+v is empty", m)
			}
		}
	})
}

func TestCPUTime(t *testing.T) {
	self := libpf.PID(os.Getpid()) //nolint:gosec // a PID
	before, err := CPUTime(self)
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := CPUTime(self)
		if err != nil {
			t.Fatal(err)
		}
		if now < before {
			t.Fatalf("the time went from %v to %v", before, now)
		}
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			t.Fatal(err)
		}
		if exact := time.Duration(used.Utime.Nano() + used.Stime.Nano()); now > exact+20*time.Millisecond {
			t.Fatalf("%v, but it has used %v", now, exact)
		}
		if now >= before+50*time.Millisecond {
			break
		}
	}
	if _, err := CPUTime(1 << 30); err == nil {
		t.Error("there is a time of a process that does not exist")
	}
}

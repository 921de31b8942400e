// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// mapVar makes the child map a page of code for each line that it reads, and tell where.
const mapVar = "STROBE_TEST_MAP"

// mapWhenTold leaves the page alone: no fault tells anybody of it.
func mapWhenTold() {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		b, err := syscall.Mmap(int(f.Fd()), 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_EXEC, syscall.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%p\n", b)
	}
}

// discoveries are the ways in which processes are followed.
var discoveries = map[string][]string{
	"kernel": nil,
	"proc":   {progFork, progExec, progExit, progFault, progIter},
}

// TestMappedMeanwhile has a process map code between the moment when its mappings are read
// from /proc and the moment when they are published: as late as they come, they are not
// taken for what the process has by then.
func TestMappedMeanwhile(t *testing.T) {
	skip.UnlessRoot(t)
	for name, without := range discoveries {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), childVar+"=3", mapVar+"=yes")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			pid, out := startTalking(t, cmd)
			tr := newTracer(t, Config{Filter: Filter{IncludePIDs: []libpf.PID{pid}}, withoutPrograms: without})
			var mapped uint64
			published, after := false, 0
			runTracer(t, tr, 1, func(*libpf.Sample) bool {
				if !published {
					published = true
					code, err := process.ReadCode(pid)
					if err != nil {
						t.Error(err)
					}
					_, _ = in.Write([]byte("map\n"))
					line, _ := out.ReadString('\n')
					if mapped, err = strconv.ParseUint(line[:max(0, len(line)-1)], 0, 64); err != nil {
						t.Errorf("the child says %q: %v", line, err)
					}
					(&eventLoop{t: tr}).publish(pid, 0, code)
					return false
				}
				after++
				return after > 1 && hasCode(tr, pid, mapped)
			})
		})
	}
}

// TestWrongMappings gives a process mappings that are not its own, as one would have that
// mapped as many pages elsewhere as it unmapped: they are read again when its code runs.
func TestWrongMappings(t *testing.T) {
	skip.UnlessRoot(t)
	wrong := []func(*support.StrobeMappingChunk, *support.StrobeMapping){
		func(_ *support.StrobeMappingChunk, m *support.StrobeMapping) { m.Pages = 0 },
		// Of another reading, whose functions are others: nobody may believe it.
		func(c *support.StrobeMappingChunk, m *support.StrobeMapping) { c.Version++; m.Pgoff++ },
	}
	for name, without := range discoveries {
		t.Run(name, func(t *testing.T) {
			pid := startChildOf(t, 3)
			tr := newTracer(t, Config{Filter: Filter{IncludePIDs: []libpf.PID{pid}}, withoutPrograms: without})
			var right support.StrobeMapping // that of the executable
			left := wrong
			runTracer(t, tr, 1, func(*libpf.Sample) bool {
				var p support.StrobeProcess
				var c support.StrobeMappingChunk
				key := support.StrobeMappingKey{Tgid: uint32(pid)}
				if err := errors.Join(tr.kernel.objs.Processes.Lookup(uint32(pid), &p), tr.kernel.objs.Mappings.Lookup(key, &c)); err != nil {
					t.Error(err)
					return true
				}
				if right.Pages > 0 && !slices.Contains(c.M[:c.Count], right) {
					return false
				}
				if len(left) == 0 {
					return true
				}
				i := slices.IndexFunc(c.M[:c.Count], func(m support.StrobeMapping) bool { return m.ExecId == p.MainExec })
				if i < 0 {
					t.Errorf("the executable is not among the mappings: %+v", c.M[:c.Count])
					return true
				}
				right = c.M[i]
				left[0](&c, &c.M[i])
				left = left[1:]
				if err := tr.kernel.objs.Mappings.Put(key, &c); err != nil {
					t.Error(err)
				}
				return false
			})
		})
	}
}

func hasCode(tr *Tracer, pid libpf.PID, at uint64) bool {
	return slices.ContainsFunc(tr.files.mappings(pid), func(m support.StrobeMapping) bool { return m.Start == at })
}

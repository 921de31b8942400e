// SPDX-License-Identifier: Apache-2.0

// Command confined confines itself, as the agent does, and says as JSON what it
// can still do.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/agent/internal/confine"
)

// Answer is what the test reads.
type Answer struct {
	Errors        []string
	Kept, Dropped []string
	// Threads has the lines about privileges of each thread, by kind of line.
	Threads []map[string]string
	// Dumpable, the mode of a new file, and whether the process can read its own
	// maps, which its profiles need.
	Dumpable   int
	Mode       string
	ReadsMaps  bool
	Profiles   bool
	CanChown   bool
	CanRegain  bool
	FileOfRoot bool
}

func main() {
	var a Answer
	note := func(err error) {
		if err != nil {
			a.Errors = append(a.Errors, err.Error())
		}
	}
	// Threads that are there before, as an agent has them.
	var started, stop sync.WaitGroup
	stop.Add(1)
	for range 8 {
		started.Add(1)
		go func() {
			runtime.LockOSThread()
			started.Done()
			stop.Wait()
		}()
	}
	started.Wait()
	note(confine.Early())
	report, err := confine.Drop(confine.Needed)
	note(err)
	a.Kept, a.Dropped = report.Kept.Names(), report.Dropped.Names()

	tasks, err := filepath.Glob("/proc/self/task/*/status")
	note(err)
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		note(err)
		lines := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			lines[name] = strings.TrimSpace(value)
		}
		a.Threads = append(a.Threads, lines)
	}
	a.Dumpable, err = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	note(err)
	dir := os.Args[1]
	file := filepath.Join(dir, "new")
	note(os.WriteFile(file, nil, 0o666))
	if info, err := os.Stat(file); err == nil {
		a.Mode = fmt.Sprintf("%04o", info.Mode().Perm())
	}
	_, err = os.ReadFile("/proc/self/maps")
	a.ReadsMaps = err == nil
	var profile strings.Builder
	a.Profiles = pprof.StartCPUProfile(&profile) == nil
	pprof.StopCPUProfile()
	a.Profiles = a.Profiles && profile.Len() > 0
	a.CanChown = os.Chown(file, 12345, 12345) == nil
	_, err = os.ReadFile("/etc/shadow")
	a.FileOfRoot = err == nil
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0)}, {Effective: 0x1ff, Permitted: 0x1ff}}
	a.CanRegain = unix.Capset(&header, &all[0]) == nil
	stop.Done()
	_ = json.NewEncoder(os.Stdout).Encode(a) // nobody else to tell
}

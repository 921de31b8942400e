// SPDX-License-Identifier: Apache-2.0

// Package restricted runs the real agent where something is taken away from it: a
// capability, a namespace, a mount, memory. For each it judges what still works, on
// programs with known stacks, and what the agent says: what is missing, what that does
// and the setting that helps. docs/privileges.md has the results.
//
// Everything happens in namespaces and cgroups of the tests' own. It needs root.
package restricted

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
)

// built is for where there is no compiler, as in the guests of support/kerneltest.
var built = flag.String("agent", "", "take this `program` rather than building the agent")

// agent is the binary, where every user can execute it.
var (
	agent string
	sink  float64
)

// patience only ends what hangs: a busy host may take many times as long as an idle one.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(burnVar) != "":
		burnOuter()
	case os.Getenv(becomeVar) != "":
		fmt.Fprintln(os.Stderr, "restricted:", become())
		os.Exit(125)
	}
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "strobe-restricted")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)                      //nolint:errcheck // a test
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users execute it
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	agent = filepath.Join(dir, "agent")
	if *built != "" {
		agent = *built
	} else if err := program.Build(dir, "agent"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	for _, stop := range stopSubjects {
		stop()
	}
	return status
}

// burnVar makes the test binary a program that is profiled.
const burnVar = "STROBE_RESTRICTED_BURN"

//go:noinline
func burnOuter() {
	for {
		burnInner()
		sink++
	}
}

//go:noinline
func burnInner() {
	for i := range 100_000 {
		sink += math.Sqrt(float64(i))
	}
}

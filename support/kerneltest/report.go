// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

// plan is what a guest is to do.
type plan struct {
	Cannot   string    `json:"cannot"`
	Hide     []string  `json:"hide"`
	Tests    []test    `json:"tests"`
	Subjects []subject `json:"subjects"`
}

// test is a compiled package of tests.
type test struct {
	Binary string `json:"binary"`
	Run    string `json:"run"`
	Skip   string `json:"skip"`
	// Args are flags of its own.
	Args []string `json:"args"`
}

// subject is a program whose stacks are known.
type subject struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	// Says is the line that it prints when its own functions begin, "" for none.
	Says string `json:"says,omitempty"`
}

// report is what a guest found.
type report struct {
	Verdict string `json:"verdict"`
	CanRun  bool   `json:"can_run"`
	Doctor  string `json:"doctor"`
	Event   string `json:"event"`
	Follows string `json:"follows"`
	// Fault, Iterator and the like are what the doctor found, by name.
	Has map[string]bool `json:"has"`
	// Refusal is what the agent says when it ends at once.
	Refusal  string            `json:"refusal"`
	Passed   int               `json:"passed"`
	Failed   []string          `json:"failed"`
	Skipped  []string          `json:"skipped"`
	Subjects map[string]string `json:"subjects"` // "" is right
	Samples  map[string]int    `json:"samples"`
	Pipe     string            `json:"pipe"` // "" is right
	// Instructions that the verifier looked at for the programs that are always
	// loaded, and its time in µs.
	Instructions int `json:"instructions"`
	VerifierUsec int `json:"verifier_usec"`
	// Memory is what the agent made of cgroups with little of it.
	Memory []string `json:"memory,omitempty"`
	// LoadCPU is the CPU time in seconds of "agent record -a" for one second.
	LoadCPU float64 `json:"load_cpu"`
}

const (
	planFile   = "/run/plan.json"
	reportFile = "/run/report.json"
	logDir     = "/run/logs"
)

// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/strobe-profiler/strobe/support/dockertest"
	"github.com/strobe-profiler/strobe/support/skip"
)

// confined is what testdata/confined says.
type confined struct {
	Errors, Kept, Dropped                                []string
	Threads                                              []map[string]string
	Dumpable                                             int
	Mode                                                 string
	ReadsMaps, Profiles, CanChown, CanRegain, FileOfRoot bool
}

// run runs the program, below a wrapper if there is one.
func run(t *testing.T, wrapper ...string) (a confined) {
	t.Helper()
	dir, err := os.MkdirTemp("", "confined") // the other user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "confined")
	build := exec.Command("go", "build", "-o", program, "./testdata/confined")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	args := append(wrapper, program, dir)
	out, err := exec.Command(args[0], args[1:]...).Output() //nolint:gosec // ours
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return a
}

// check checks what holds for every user.
func (a *confined) check(t *testing.T) {
	t.Helper()
	if len(a.Errors) > 0 {
		t.Errorf("errors %q", a.Errors)
	}
	if a.Dumpable != 0 || a.Mode != "0600" || !a.ReadsMaps || !a.Profiles || a.CanChown || a.CanRegain {
		t.Errorf("%+v", a)
	}
	if len(a.Threads) < 9 {
		t.Errorf("%d threads", len(a.Threads))
	}
}

func TestDropAsRoot(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	a := run(t)
	a.check(t)
	had, err := permitted()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff((had & Needed).Names(), a.Kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff((had &^ Needed).Names(), a.Dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	want := strconv.FormatUint(uint64(had&Needed), 16)
	for _, thread := range a.Threads {
		for name, want := range map[string]string{
			"CapPrm": want, "CapEff": want, "CapBnd": want, "CapInh": "", "CapAmb": "", "NoNewPrivs": "1",
		} {
			if got := strings.TrimLeft(thread[name], "0"); got != want {
				t.Errorf("thread %s: %s is %q, want %q", thread["Pid"], name, got, want)
			}
		}
	}
}

// TestDropAsUser is the agent as systemd's unit starts it: another user, with
// some capabilities only.
func TestDropAsUser(t *testing.T) {
	t.Parallel()
	skip.UnlessRoot(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		skip.Because(t, "needs setpriv of util-linux")
	}
	some := "+bpf,+sys_ptrace,+net_raw"
	a := run(t, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all,"+some, "--ambient-caps=-all,"+some,
		"--bounding-set=-all,"+some)
	a.check(t)
	if !slices.Equal(a.Kept, []string{"CAP_SYS_PTRACE", "CAP_BPF"}) || !slices.Equal(a.Dropped, []string{"CAP_NET_RAW"}) || a.FileOfRoot {
		t.Errorf("kept %v, dropped %v, reads files of root: %v", a.Kept, a.Dropped, a.FileOfRoot)
	}
	for _, thread := range a.Threads {
		if thread["CapAmb"] != "0000000000000000" || thread["CapInh"] != "0000000000000000" || thread["CapPrm"] != thread["CapEff"] {
			t.Errorf("thread %v", thread)
		}
	}
	// And one with nothing at all.
	a = run(t, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
	a.check(t)
	if len(a.Kept)+len(a.Dropped) > 0 {
		t.Errorf("kept %v, dropped %v", a.Kept, a.Dropped)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	const all = Set(1<<41 - 1)
	for name, test := range map[string]struct{ had, want Set }{
		"root":     {all, Needed},
		"exactly":  {Needed, Needed},
		"nothing":  {0, 0},
		"override": {all &^ (1 << unix.CAP_DAC_READ_SEARCH), Needed&^(1<<unix.CAP_DAC_READ_SEARCH) | 1<<unix.CAP_DAC_OVERRIDE},
		"old container": {
			1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_RAW,
			1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE,
		},
	} {
		if got := test.had.keep(Needed); got != test.want {
			t.Errorf("%s: %v, want %v", name, got.Names(), test.want.Names())
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := []string{"CAP_CHOWN", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE", "capability 41"}
	got := Set(1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_CHECKPOINT_RESTORE | 1<<41).Names()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestUnit keeps the unit of systemd and the agent in step.
func TestUnit(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../support/systemd/strobe-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "AmbientCapabilities" && key != "CapabilityBoundingSet" {
			continue
		}
		found++
		got, want := strings.Fields(value), append(Needed.Names(), "CAP_SYS_ADMIN") // that for the start: the unit says why
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if found != 2 {
		t.Errorf("%d lists of capabilities", found)
	}
}

// TestCompose does the same for the container.
func TestCompose(t *testing.T) {
	t.Parallel()
	agent := dockertest.Services(t, "../../../support/docker/capabilities.yml")["agent"]
	got, want := agent.CapAdd, Needed.Names()
	for i := range got {
		got[i] = "CAP_" + got[i]
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("adds (-want +got):\n%s", diff)
	}
}

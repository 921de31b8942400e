// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// goToolPprof runs the pprof of the Go toolchain, which is what people use.
func goToolPprof(t *testing.T, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "pprof"}, arguments...)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir(), "PPROF_BINARY_PATH="+t.TempDir())
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	return out.String(), errors.String(), err
}

func TestGoToolPprof(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newTestHandler(t, testStore(t)))
	defer server.Close()
	source := server.URL + `/api/v1/pprof?query={service="cron"}&from=now-1h`

	stdout, stderr, err := goToolPprof(t, "-top", source)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	for _, want := range []string{"Type: cpu", "main.main", "vfs_read", "vector<int>::at (inline)", "Duration: 1hrs"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if strings.Contains(stderr, "ymboliz") {
		t.Errorf("pprof went looking for symbols:\n%s", stderr)
	}

	file := filepath.Join(t.TempDir(), "out.pb.gz")
	if _, stderr, err := goToolPprof(t, "-proto", "-output="+file, "-seconds=120", server.URL+"/api/v1/pprof"); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	f, err := os.Open(file) //nolint:gosec // made above
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	var observations, value int64
	for _, s := range p.Sample {
		observations += s.Value[0]
		value += s.Value[1]
	}
	if observations != 5 || value != 5*period || p.Period != period || p.DefaultSampleType != "cpu" {
		t.Errorf("%d observations, %d ns, period %d, default %s", observations, value, p.Period, p.DefaultSampleType)
	}

	stdout, stderr, err = goToolPprof(t, "-top", "-sample_index=samples", "-tagfocus=comm=worker",
		"-diff_base="+server.URL+"/api/v1/pprof?from=now-3m&to=now-2m", server.URL+"/api/v1/pprof?from=now-1m")
	if err != nil || !strings.Contains(stdout, "handle <request>") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}

	_, stderr, err = goToolPprof(t, "-top", server.URL+"/api/v1/pprof?from=yesterday")
	if err == nil || !strings.Contains(stderr, "from: not a time") {
		t.Errorf("a bad parameter is not explained (%v):\n%s", err, stderr)
	}
}

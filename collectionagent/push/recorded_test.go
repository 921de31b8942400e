// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/collectionagent/ingest"
	"github.com/strobe-profiler/strobe/libpf"
)

// TestRecorded sends what the client of Pyroscope for Go 1.4.3 sent.
func TestRecorded(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[libpf.SampleType]string{
		"cpu":        {libpf.SampleOnCPU: "burnCPU"},
		"heap":       {libpf.SampleAllocSpace: "allocateMuch", libpf.SampleInuseObjects: "pyroscope"},
		"goroutines": {libpf.SampleGoroutines: "pyroscopeProgram"},
		"mutex":      {libpf.SampleMutexContentions: "waitForLock.func1", libpf.SampleMutexDelay: "waitForLock.func1"},
		"block":      {libpf.SampleBlockContentions: "waitForLock", libpf.SampleBlockDelay: "waitForLock"},
	} {
		recorded, err := os.Open(filepath.Join("testdata", "pyroscope-go", name+".http"))
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.ReadRequest(bufio.NewReader(recorded))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(request.Body)
		if err := cmp.Or(err, recorded.Close()); err != nil {
			t.Fatal(err)
		}
		from, err := strconv.ParseInt(request.URL.Query().Get("from"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(c *ingest.Config) { c.Now = func() time.Time { return time.Unix(0, from) } })
		if w := r.post(request.URL.String(), body, "Content-Type", request.Header.Get("Content-Type")); w.Code != http.StatusOK || w.Body.String() != "{}\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		for typ, function := range want {
			if got := r.foldedAt(time.Unix(0, from), typ, "service", "region"); !strings.HasPrefix(got, "shop.cart;eu;") || !strings.Contains(got, function) {
				t.Errorf("%s: %s: %s", name, typ, got)
			}
		}
	}
}

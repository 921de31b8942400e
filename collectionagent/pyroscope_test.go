// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/pyroscope-go"
)

// pyroscopeURL is set for a child that sends profiles of itself to that server with the client of
// Pyroscope; the token is in its environment as well.
const (
	pyroscopeURL   = "STROBE_TEST_PYROSCOPE_URL"
	pyroscopeToken = "STROBE_TEST_PYROSCOPE_TOKEN"
)

// pyroscopeProgram is a program that uses the client of Pyroscope as its users do. It sends what it
// did, and ends when its input does.
func pyroscopeProgram(server string) int {
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	profiler, err := pyroscope.Start(pyroscope.Config{
		ApplicationName: "shop.cart", Tags: map[string]string{"region": "eu", "hostname": "alpha"},
		ServerAddress: server, BasicAuthUser: "anybody", BasicAuthPassword: os.Getenv(pyroscopeToken),
		TenantID: "of no importance", UploadRate: time.Second, Logger: problemsOnly{},
		ProfileTypes: []pyroscope.ProfileType{
			pyroscope.ProfileCPU, pyroscope.ProfileAllocObjects, pyroscope.ProfileAllocSpace, pyroscope.ProfileInuseObjects, pyroscope.ProfileInuseSpace,
			pyroscope.ProfileGoroutines, pyroscope.ProfileMutexCount, pyroscope.ProfileMutexDuration, pyroscope.ProfileBlockCount, pyroscope.ProfileBlockDuration,
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	pyroscope.TagWrapper(context.Background(), pyroscope.Labels("endpoint", "/cart"), func(context.Context) {
		for {
			select {
			case <-done:
				return
			default:
				kept = append(kept[:min(len(kept), 64)], allocateMuch())
				burnCPU()
				waitForLock()
			}
		}
	})
	if err := profiler.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// problemsOnly logs what goes wrong.
type problemsOnly struct{}

func (problemsOnly) Infof(string, ...any)  {}
func (problemsOnly) Debugf(string, ...any) {}
func (problemsOnly) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

var (
	kept   [][]byte // in use
	burned uint64
)

//go:noinline
func allocateMuch() []byte { return make([]byte, 256<<10) }

//go:noinline
func burnCPU() {
	for i := range uint64(20_000_000) {
		burned = burned*31 + i
	}
}

//go:noinline
func waitForLock() {
	var lock sync.Mutex
	lock.Lock()
	go func() {
		time.Sleep(5 * time.Millisecond)
		lock.Unlock()
	}()
	lock.Lock()
	lock.Unlock() //nolint:staticcheck // what is waited for is the lock
}

// TestPyroscopeClient has a program send profiles of itself with the client of Pyroscope for Go, and asks
// for them.
func TestPyroscopeClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ingest := command(t, dir, "token", "create", "-project", "default", "-role", "ingest")
	query := command(t, dir, "token", "create", "-project", "default", "-role", "query")
	p := start(t, dir)
	began := time.Now()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := exec.Command(self) //nolint:gosec // this test
	program.Env = append(os.Environ(), pyroscopeURL+"=http://"+p.http, pyroscopeToken+"="+ingest)
	said := &lockedBuffer{}
	program.Stdout, program.Stderr = said, said
	stop, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Process.Kill() })

	ask := func(path string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+query)
		resp, err := p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v %s", path, resp.StatusCode, err, body)
		}
		return string(body)
	}
	selected := func(typ, selector string) string {
		return "?from=now-1h&to=now%2B1h&type=" + typ + "&query=" + url.QueryEscape(selector)
	}
	const shop = `{service="shop.cart",region="eu",host="alpha"}`
	for _, c := range []struct{ typ, selector, function string }{
		{"on_cpu", `{service="shop.cart",region="eu",endpoint="/cart"}`, "collectionagent_test.burnCPU"},
		{"alloc_objects", shop, "collectionagent_test.allocateMuch"},
		{"alloc_space", shop, "collectionagent_test.allocateMuch"},
		{"inuse_objects", shop, "collectionagent_test.allocateMuch"},
		{"inuse_space", shop, "collectionagent_test.allocateMuch"},
		{"goroutines", shop, "collectionagent_test.pyroscopeProgram"},
		{"mutex_contentions", shop, "collectionagent_test.waitForLock.func1"},
		{"mutex_delay", shop, "collectionagent_test.waitForLock.func1"},
		{"block_contentions", shop, "collectionagent_test.waitForLock"},
		{"block_delay", shop, "collectionagent_test.waitForLock"},
	} {
		p.until(c.typ+" of "+c.function, func() bool {
			return strings.Contains(ask("/api/v1/folded"+selected(c.typ, c.selector)), c.function)
		})
	}
	if err := cmp.Or(stop.Close(), program.Wait()); err != nil || said.String() != "" {
		t.Errorf("the program ended with %v and says:\n%s", err, said)
	}
	var totals struct{ Total, Samples int64 }
	if err := json.Unmarshal([]byte(ask("/api/v1/totals"+selected("on_cpu", shop))), &totals); err != nil {
		t.Fatal(err)
	}
	// Each sample counts once, though the profile has it as a count and as time.
	if most := int64(time.Since(began)) * int64(runtime.NumCPU()); totals.Total > most || totals.Total != totals.Samples*10_000_000 {
		t.Errorf("%d ns of CPU in %d samples of 10 ms, at most %d ns were used", totals.Total, totals.Samples, most)
	}
	if body := ask("/api/v1/labels" + selected("on_cpu", shop)); strings.Contains(body, "__") {
		t.Errorf("internal labels are kept: %s", body)
	}
}

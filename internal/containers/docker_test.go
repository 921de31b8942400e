// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/strobe-profiler/strobe/libpf"
)

// dockerList is an answer of Docker 20.10 to /containers/json, shortened.
func dockerList(id, name string) string {
	return `[{"Id":"` + id + `","Names":["/other/alias","/` + name + `"],"Image":"shop:1.2","ImageID":"sha256:ab","Command":"/busy","Created":1795333436,` +
		`"Ports":[{"PrivatePort":80}],"Labels":{"team":"a","com.docker.compose.service":"web"},"State":"running","HostConfig":{"NetworkMode":"none"},"Mounts":[]}]`
}

// TestLateContainer: a runtime does not know a container yet, fails, hangs up, and then knows it.
func TestLateContainer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("asked with %s", r.Method)
		}
		if r.URL.Path != "/containers/json" {
			http.Error(w, "no", http.StatusForbidden) // a proxy that allows little
			return
		}
		if !strings.Contains(r.URL.Query().Get("filters"), webID) {
			t.Errorf("filters %q", r.URL.Query().Get("filters"))
		}
		switch asked.Add(1) {
		case 1:
			_, _ = io.WriteString(w, "[]")
		case 2:
			http.Error(w, "busy", http.StatusInternalServerError)
		case 3:
			_, _ = io.WriteString(w, `[{"Id":"`)
		default:
			_, _ = io.WriteString(w, dockerList(webID, "shop-web-1"))
		}
	})
	d := started(t, Options{Sockets: []string{socket}, Labels: []string{"team"}})
	if s := d.Status(); len(s) != 1 || s[0].State != StateIdle {
		t.Errorf("before: %+v", s)
	}
	p := process(webID)
	if d.Describe(p) != p {
		t.Error("it was waited for")
	}
	got := described(t, d, p, named)
	if got.Service != "web" || got.ContainerName != "shop-web-1" || label(got, LabelImageTag) != "1.2" || label(got, "container.label.team") != "a" {
		t.Errorf("described as %+v", got)
	}
	if d.Describe(p) != got || d.Describe(got) != got {
		t.Error("another value for the same process")
	}
	settled(t, d)
	if s := d.Status(); s[0].State != StateAsked || s[0].Error != "" || d.Known() != 1 {
		t.Errorf("after: %+v, %d known", s, d.Known())
	}
	other := &libpf.Process{ContainerID: "a UUID of something else"}
	if d.Describe(other) != other {
		t.Error("asked for what is no container")
	}
}

// TestHungSource: one that never answers holds up nobody.
func TestHungSource(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hung := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	answers := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, dockerList(webID, "web")) })
	d := started(t, Options{Sockets: []string{hung, answers}})
	described(t, d, process(webID), named)
	for i := range 2 * maxPending { // and no queue grows
		d.Want(fmt.Sprintf("%064x", i+1))
	}
	d.Close()
}

// stuckLog is a log that takes a line and does not come back.
type stuckLog struct {
	slog.Handler
	entered, release chan struct{}
}

func (l *stuckLog) Handle(context.Context, slog.Record) error {
	l.entered <- struct{}{}
	<-l.release
	return nil
}

// TestStuckLog: whose log is written into a pipe that nobody reads still profiles.
func TestStuckLog(t *testing.T) {
	t.Parallel()
	log := &stuckLog{slog.NewTextHandler(io.Discard, nil), make(chan struct{}), make(chan struct{})} //nolint:sloglint // DiscardHandler is given no records
	answers := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, dockerList(webID, "web")) })
	d := started(t, Options{Sockets: []string{answers}, Logger: slog.New(log)})
	defer close(log.release)
	d.Want(webID)
	<-log.entered
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Want(setupID)
		d.Describe(process(debugID))
		_ = d.Status()
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatal("who wants something waits for the log")
	}
}

// TestManyContainers: questions about all containers of a large host fit into what a proxy in front
// of the engine takes for an address.
func TestManyContainers(t *testing.T) {
	t.Parallel()
	const containers = 500
	var told atomic.Int32
	socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var filter struct{ ID []string }
		if len(r.RequestURI) > 8<<10 || json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filter) != nil {
			http.Error(w, "too long", http.StatusRequestURITooLong)
			return
		}
		list := make([]string, 0, len(filter.ID))
		for _, id := range filter.ID {
			list = append(list, strings.Trim(dockerList(id, id[:4]), "[]"))
		}
		told.Add(int32(len(list))) //nolint:gosec // small
		_, _ = io.WriteString(w, "["+strings.Join(list, ",")+"]")
	})
	d, err := New(Options{Sockets: []string{socket}})
	if err != nil {
		t.Fatal(err)
	}
	id := func(i int) string { return fmt.Sprintf("%064x", i+1) }
	for i := range containers { // all at once, as when the agent starts
		d.Want(id(i))
	}
	d.Start()
	t.Cleanup(d.Close)
	for i := range containers {
		described(t, d, process(id(i)), named)
	}
	if n := told.Load(); n != containers {
		t.Errorf("told of %d containers", n)
	}
}

// TestCrowd: an engine that takes no notice of the question tells of more containers than are
// learned at a time. The one that was asked for is among those that are, the others are counted.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const more = 7
	crowd := make([]string, 0, maxUnasked+more+1)
	for i := range maxUnasked + more {
		crowd = append(crowd, fmt.Sprintf(`{"Id":"%064x","Names":["/n%[1]d"]}`, i+1))
	}
	list := "[" + strings.Join(append(crowd, strings.Trim(dockerList(webID, "web"), "[]")), ",") + "]"
	socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/containers/json" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, list)
	})
	d := started(t, Options{Sockets: []string{socket}})
	described(t, d, process(webID), named)
	settled(t, d)
	for result, want := range map[string]float64{"found": maxUnasked + 1, "left_out": more, "unknown": 0} {
		var m dto.Metric
		if err := d.metrics.lookups.WithLabelValues(kindDocker, result).Write(&m); err != nil || m.GetCounter().GetValue() != want {
			t.Errorf("%s: %v, %v, want %v", result, m.GetCounter().GetValue(), err, want)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	denied := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "authorization denied", http.StatusForbidden)
	})
	web := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	object := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	moved := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
	})
	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"Id":"`)
		for b := bytes.Repeat([]byte{'a'}, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	for name, test := range map[string]struct {
		socket, reason string
		err            error
	}{
		"nobody":   {"/nowhere/docker.sock", reasonAbsent, nil},
		"denied":   {denied, reasonDenied, errDenied},
		"page":     {web, reasonError, nil},
		"object":   {object, reasonUnsupported, errUnsupported},
		"moved":    {moved, reasonUnsupported, errUnsupported},
		"endless":  {endless, reasonError, errTooLarge},
		"CRI here": {"cri:" + web, reasonError, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newSources(&Options{Sockets: []string{test.socket}}, newWanted(nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer s[0].close()
			err = s[0].look(t.Context(), []string{probeID}, func(string, container) { t.Error("told of something") })
			if err == nil || reasonOf(err) != test.reason || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("reason %q of %v, want %q", reasonOf(err), err, test.reason)
			}
			c := Probe(t.Context(), Options{Sockets: []string{test.socket}})
			if len(c) != 1 || c[0].OK || c[0].Required || c[0].Effect == "" || c[0].Fix == "" && test.reason != reasonError {
				t.Errorf("doctor says %+v", c)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	if c := Probe(t.Context(), Options{Sockets: []string{Off}}); len(c) != 1 || c[0].OK || c[0].Limits() {
		t.Errorf("without anybody to ask: %+v", c)
	}
	works := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "null") })
	if c := Probe(t.Context(), Options{Sockets: []string{works}}); len(c) != 1 || !c[0].OK {
		t.Errorf("a socket that answers: %+v", c)
	}
}

func TestReadEvents(t *testing.T) {
	t.Parallel()
	var ids []string
	err := readEvents(strings.NewReader(`{"status":"start","id":"`+webID+`","Type":"container","Action":"start","Actor":{"ID":"`+webID+`","Attributes":{"name":"x"}}}
{"Type":"container","Action":"rename","ID":"`+setupID+`"}

{"Type":"container","Actor":{"ID":"short"}}
`), func(id string) { ids = append(ids, id) })
	if err == nil || len(ids) != 2 || ids[0] != webID || ids[1] != setupID {
		t.Errorf("%q, %v", ids, err)
	}
	if err := readEvents(strings.NewReader(strings.Repeat("x", maxEventBytes+1)), func(string) {}); err == nil {
		t.Error("an endless line is accepted")
	}
}

func FuzzDocker(f *testing.F) {
	f.Add([]byte(dockerList(webID, "web")))
	f.Add([]byte(`[{"Id":"` + webID + `","Names":null,"Labels":{"team":"\ud800\u0000"}}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDocker("/x", newWanted([]string{"team"}, nil))
		_ = d.read(bytes.NewReader(b), checkTold(t))
		_ = readEvents(bytes.NewReader(b), func(id string) {
			if !isID(id) {
				t.Errorf("event of %q", id)
			}
		})
	})
}

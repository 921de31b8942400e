// SPDX-License-Identifier: Apache-2.0

package buildinfo

import (
	"bytes"
	"encoding/json"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	t.Parallel()
	info := Info{
		Program: "agent", Version: "1.2.3", Commit: strings.Repeat("a1", 20) + "-dirty", Date: "2026-01-02T03:04:05Z",
		Go: "go1.26", OS: "linux", Arch: "arm64",
	}
	if got, want := info.String(), "agent 1.2.3 (commit a1a1a1a1a1a1-dirty, 2026-01-02T03:04:05Z, go1.26, linux/arm64)"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	info.EBPF = strings.Repeat("0f", 32)
	if got := info.String(); !strings.HasSuffix(got, "linux/arm64, eBPF 0f0f0f0f0f0f)") {
		t.Error(got)
	}
	if got := (Info{Program: "x", Commit: unknown}).String(); !strings.Contains(got, "commit unknown,") {
		t.Error(got)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	info := Read("agent", NewObject("strobe", []byte("x")))
	var text, encoded bytes.Buffer
	if err := info.Write(&text, Text); err != nil || text.String() != info.String()+"\n" {
		t.Errorf("%v: %q", err, text.String())
	}
	if err := info.Write(&encoded, JSON); err != nil {
		t.Fatal(err)
	}
	var back Info
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || !reflect.DeepEqual(back, info) {
		t.Errorf("%v: %+v, want %+v", err, back, info)
	}
	if CheckFormat(Text) != nil || CheckFormat(JSON) != nil || CheckFormat("xml") == nil {
		t.Error("formats")
	}
}

// TestDigest says that the hash depends on all names and contents, not on their order.
func TestDigest(t *testing.T) {
	t.Parallel()
	a, b := NewObject("a", []byte("1")), NewObject("b", []byte("2"))
	whole := digest([]Object{a, b})
	if whole != digest([]Object{b, a}) {
		t.Error("the order counts")
	}
	for _, other := range [][]Object{nil, {a}, {a, NewObject("b", []byte("3"))}, {a, NewObject("c", []byte("2"))}} {
		if digest(other) == whole {
			t.Errorf("%v has the hash of others", other)
		}
	}
	// sha256sum of "1", and of the list with that one line.
	const one = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	if a.SHA256 != one {
		t.Error(a.SHA256)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	vcs := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "now"}, {Key: "vcs.modified", Value: "true"},
	}}
	tests := map[string]struct {
		known Info
		info  *debug.BuildInfo
		want  Info
	}{
		"nothing":    {Info{}, nil, Info{Version: unknown, Commit: unknown, Date: unknown}},
		"sources":    {Info{}, vcs, Info{Version: unknown, Commit: "abc-dirty", Date: "now"}},
		"go install": {Info{}, &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, Info{Version: "v1.2.3", Commit: unknown, Date: unknown}},
		"linker":     {Info{Version: "1", Commit: "2", Date: "3"}, vcs, Info{Version: "1", Commit: "2", Date: "3"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.known
			got.fill(test.info, test.info != nil)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	if _, ok := Read("collectionagent").Labels()["ebpf"]; ok {
		t.Error("a program without eBPF objects has their label")
	}
	labels := Read("agent", NewObject("strobe", nil)).Labels()
	for _, name := range []string{"version", "revision", "goversion", "goarch", "ebpf"} {
		if labels[name] == "" {
			t.Errorf("no label %s", name)
		}
	}
}

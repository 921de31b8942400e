// SPDX-License-Identifier: Apache-2.0

package tracer

import (
	"errors"
	"testing"

	"github.com/strobe-profiler/strobe/tracer/interpreter"
)

// detecting is a runtime of which nothing but its detection works.
type detecting struct {
	interpreter.Runtime
	name   string
	detect func() (interpreter.Binary, error)
}

func (d *detecting) Name() string { return d.name }

func (d *detecting) Detect(*interpreter.Executable) (interpreter.Binary, error) { return d.detect() }

// TestRecognisePanic asks a runtime that panics between others.
func TestRecognisePanic(t *testing.T) {
	t.Parallel()
	bug := &detecting{name: "bug", detect: func() (interpreter.Binary, error) { panic("index out of range") }}
	other := &detecting{name: "other", detect: func() (interpreter.Binary, error) { return nil, errors.New("not mine") }}
	old := &detecting{name: "old", detect: func() (interpreter.Binary, error) {
		return nil, &interpreter.UnsupportedError{Runtime: "old", Version: "1", Reason: "too old"}
	}}
	for name, c := range map[string]struct {
		runtimes []interpreter.Runtime
		want     string
	}{
		"nobody's":   {[]interpreter.Runtime{bug, other}, "bug"},
		"another's":  {[]interpreter.Runtime{bug, old}, "old"},
		"no problem": {[]interpreter.Runtime{other}, ""},
	} {
		got := ""
		if d := (&runtimeProbe{runtimes: c.runtimes}).recognise(&interpreter.Executable{Path: "/x"}); d != nil {
			got = d.runtime.Name()
			if _, ok := errors.AsType[*interpreter.UnsupportedError](d.err); !ok {
				t.Errorf("%s: error %v", name, d.err)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// judged is a test that keeps what is wrong rather than to fail.
type judged struct {
	testing.TB
	said string
}

func (j *judged) Helper() {}

func (j *judged) Errorf(format string, args ...any) { j.said += fmt.Sprintf(format, args...) }

func (j *judged) Fatalf(format string, args ...any) {
	j.Errorf(format, args...)
	runtime.Goexit()
}

// verdict returns what Equal says of a text, "" if nothing.
func verdict(t *testing.T, path, got string) string {
	t.Helper()
	j := &judged{TB: t}
	done := make(chan struct{})
	go func() { // which may be ended
		defer close(done)
		Equal(j, path, got)
	}()
	<-done
	return j.said
}

func TestEqual(t *testing.T) {
	defer func(was bool) { *update = was }(*update)
	*update = false
	path := filepath.Join(t.TempDir(), "of", "one", "case.txt")
	if said := verdict(t, path, "a\n"); !strings.Contains(said, path) || !strings.Contains(said, "-update") {
		t.Errorf("no file: %q", said)
	}
	*update = true
	said := verdict(t, path, "a\nb\n")
	if !Update() {
		t.Error("the flag is set")
	}
	*update = false
	if b, err := os.ReadFile(path); err != nil || string(b) != "a\nb\n" || said != "" {
		t.Errorf("wrote %q, %v, %q", b, err, said)
	}
	if said := verdict(t, path, "a\nb\n"); said != "" {
		t.Errorf("equal: %q", said)
	}
	for _, got := range []string{"", "a\n", "a\nb", "a\nc\n"} {
		if said := verdict(t, path, got); !strings.Contains(said, path) {
			t.Errorf("%q: %q", got, said)
		}
	}
	Equal(t, path, []byte("a\nb\n"))
}

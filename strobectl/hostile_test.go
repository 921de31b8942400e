// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// evil is text that would name the window of a terminal, and colour the rest.
const evil = `\u001b]0;owned\u0007\u001b[31m\u009b2J\u202e`

// answers is a server that says the same to every question, and another to some.
func answers(tb testing.TB, status int, all string, some map[string]string) string {
	tb.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		text := all
		for path, other := range some {
			if strings.HasSuffix(r.URL.Path, path) {
				text = other
			}
		}
		_, _ = io.WriteString(w, text)
	}))
	tb.Cleanup(s.Close)
	return s.URL
}

// ran runs a command, and returns its status and all that it printed.
func ran(tb testing.TB, args ...string) (int, string) {
	tb.Helper()
	var out bytes.Buffer
	status := run(args, strings.NewReader(""), &out, &out)
	return status, out.String()
}

// TestHostileServer checks that nothing of an answer, an error or the name of a label
// does anything to a terminal.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	stacks := filepath.Join(t.TempDir(), "a.folded")
	if err := os.WriteFile(stacks, []byte("a;b 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := strings.NewReplacer(`\u001b`, "\x1b", `\u0007`, "\a", `\u009b`, "\u009b", `\u202e`, "\u202e").Replace(evil)
	for name, server := range map[string]string{
		"error":      answers(t, 400, `{"error":{"parameter":"query","position":1,"message":"bad `+evil+`"}}`, nil),
		"long error": answers(t, 400, `{"error":{"message":"`+strings.Repeat("x", 60000)+evil+`"}}`, nil),
		"text":       answers(t, 500, "oops "+raw, nil),
		"values": answers(t, 200, `{"type":"on_cpu","unit":"`+evil+`","strings":["`+evil+`"]}`, map[string]string{
			"/labels":      `{"labels":[{"name":"service"},{"name":"` + evil + `"}]}`,
			"/values":      `{"values":[{"value":"shop` + evil + `"}]}`,
			"/types":       `{"types":[{"type":"` + evil + `"}]}`,
			"/status":      `{"version":"` + evil + `","project":"` + evil + `","store":{"engine":"` + evil + `"},"incomplete":"` + evil + `"}`,
			"/executables": `{"total":1,"unit":"` + evil + `","executables":[{"name":"` + evil + `","kind":"` + evil + `","build_id":"` + evil + `"}]}`,
			"/events":      `{"events":[{"kind":"` + evil + `","host":"` + evil + `","labels":{"` + evil + `":"` + evil + `","comm":"` + evil + `"}}]}`,
			"/upload":      "message " + raw,
		}),
	} {
		for _, command := range []string{
			"top service=zzz", "flamegraph service=zzz", "diff", "callers x", "lines x", "timeline", "labels", "labels service", "types",
			"hosts", "executables", "events", "status", "watch top -count 1", "import -service x " + stacks,
		} {
			status, out := ran(t, append(strings.Fields(command), "-server", server)...)
			if strings.ContainsAny(out, "\x1b\a\u009b\u202e") || len(out) > 3000 || status > exitFindings {
				t.Errorf("%s, %s: status %d, %d bytes: %.300q", name, command, status, len(out), out)
			}
		}
	}
}

// TestSecretInURL checks that a password in a URL is in no error, even if the URL is wrong.
func TestSecretInURL(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"http://me:s3cret@127.0.0.1:1", "ftp://me:s3cret@host", "http://me:s3cret@host:port", "http://me:s3cret@%zz"} {
		if status, out := ran(t, "top", "-server", server); status != exitUsage || strings.Contains(out, "s3cret") || !strings.Contains(out, "-token-file") {
			t.Errorf("%s: status %d: %s", server, status, out)
		}
	}
}

// TestInterruptInput checks that Ctrl-C ends what waits for its standard input.
func TestInterruptInput(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"import -service x -", "top -file -", "export -file - -o x.svg"} {
		ctx, cancel := context.WithCancel(t.Context())
		stdin, never := io.Pipe()
		var out bytes.Buffer
		ended := make(chan int)
		go func() {
			ended <- root().run(&call{ctx: ctx, args: strings.Fields(command), stdin: stdin, stdout: &out, stderr: &out})
		}()
		cancel()
		if status := <-ended; status != exitInterrupted {
			t.Errorf("%s: status %d: %s", command, status, out.String())
		}
		_ = never.Close()
	}
}

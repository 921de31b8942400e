// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const hash = `"0000000000000000000000000000000000000000000000000000000000000001"`

// token1 is a token in a file, with more fields.
func token1(more string) string {
	return `{"version":1,"projects":[{"name":"blue","created":"2026-11-21T10:00:00Z"}],"tokens":[{"id":"abcdefghij12","project":"blue",` +
		`"roles":["ingest"],"created":"2026-11-21T10:00:00Z","secret_sha256":` + hash + more + `}]}`
}

func TestDecodeFile(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		_, err := decodeFile([]byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	f(token1(""), "")
	f(token1(`,"expires":"2026-11-21T10:00:00Z","name":"web 1"`), "")
	f(token1(`,"previous_sha256":`+hash+`,"previous_until":"2026-11-21T10:00:00Z"`), "")
	f(`{"version":1}`, "")
	f(``, "EOF")
	f(`{}`, "version: is 0")
	f(`{"version":2}`, "version: is 2, this program knows version 1: use the version of Strobe that wrote it")
	f(`{"version":2,"needs":"0.3","roles":[]}`, `version: is 2, this program knows version 1: use Strobe "0.3" or newer`)
	f(`{"version":1}{}`, "behind its end")
	f(`{"version":1,"tokenz":[]}`, `unknown field "tokenz"`)
	f(token1(`,"role":"admin"`), `unknown field "role"`)
	f(token1(`,"previous_sha256":`+hash), "tokens[0].previous_until: goes together")
	f(token1(`,"name":"a\nb"`), "tokens[0].name")
	f(strings.Replace(token1(""), `"ingest"`, `"root"`, 1), `tokens[0].roles: "root" is not a role`)
	f(strings.Replace(token1(""), `"ingest"`, ``, 1), "tokens[0].roles: no role")
	f(strings.Replace(token1(""), "abcdefghij12", "abc", 1), "tokens[0].id")
	f(strings.Replace(token1(""), `"project":"blue"`, `"project":"red"`, 1), "tokens[0].project: there is no project red")
	f(strings.Replace(token1(""), `"project":"blue"`, `"project":"*"`, 1), "tokens[0].roles: a token of all projects cannot")
	f(strings.Replace(token1(""), `"project":"blue"`, `"project":""`, 1), "tokens[0].project")
	f(strings.Replace(token1(""), `{"name":"blue"`, `{"name":"*"`, 1), "projects[0].name")
	f(strings.Replace(token1(""), hash, `"00"`, 1), "hash has 2 characters")
	f(strings.Replace(token1(""), hash, `"`+strings.Repeat("0", 64)+`"`, 1), "tokens[0].secret_sha256: is missing")
	f(strings.Replace(token1(""), hash, `"`+strings.Repeat("x", 64)+`"`, 1), "not hexadecimal")
}

// FuzzDecodeFile checks that what is read can be written and is then the same.
func FuzzDecodeFile(f *testing.F) {
	f.Add([]byte(token1("")))
	f.Add([]byte(token1(`,"previous_sha256":` + hash + `,"previous_until":"2026-11-21T10:00:00Z"`)))
	f.Add([]byte(`{"version":1,"tokens":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := decodeFile(b)
		if (err == nil) == (file == nil) {
			t.Fatalf("both or neither of %v and %v", file, err)
		}
		if err != nil {
			return
		}
		out, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeFile(out)
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, out)
		}
		if d := cmp.Diff(file, again); d != "" {
			t.Errorf("(-read +read again):\n%s", d)
		}
	})
}

// FuzzParseToken checks that only what is printed is read.
func FuzzParseToken(f *testing.F) {
	f.Add(tokenText("abcdefghij12", strings.Repeat("a", secretLength)))
	f.Fuzz(func(t *testing.T, text string) {
		id, _, ok := parseToken(text)
		if ok && (!validID(id) || len(text) != len(tokenPrefix)+idLength+1+secretLength) {
			t.Errorf("%q is read as token %q", text, id)
		}
	})
}

// foreign is a file of a user with a mode.
type foreign struct {
	fs.FileInfo
	mode fs.FileMode
	uid  uint32
}

func (f foreign) Mode() fs.FileMode { return f.mode }
func (f foreign) Sys() any          { return &syscall.Stat_t{Uid: f.uid} }

// TestSecretModes has the file as Kubernetes mounts it for who is not root: it is root's,
// and the group of the process may read it. Files of others may not be that open.
func TestSecretModes(t *testing.T) {
	t.Parallel()
	const user = 1000
	f := func(mode fs.FileMode, of uint32, to int, want bool) {
		t.Helper()
		if err := checkMode("auth.json", foreign{mode: mode, uid: of}, to); (err == nil) != want {
			t.Errorf("mode %o of user %d, read by %d: %v", mode, of, to, err)
		}
	}
	f(0o440, 0, user, true)
	f(0o640, 0, user, true)
	f(0o400, 0, user, true)
	f(0o460, 0, user, false)
	f(0o444, 0, user, false)
	f(0o442, 0, user, false)
	f(0o440, user, user, false) // the user's own
	f(0o400, user, user, true)
	f(0o440, 0, 0, false) // root has files of its own
	f(0o400, 0, 0, true)
	f(0o400, user+1, user, false)
	f(0o400, user, 0, true)
}

func TestModes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sub", "auth.json")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := Edit(path, func(f *File) error { return f.CreateProject("p", time.Now()) }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if err := Edit(path, func(*File) error { return nil }); err == nil {
			t.Errorf("mode %o: a file that others can change is changed", mode)
		}
	}
	if _, err := Read(filepath.Dir(path)); err == nil {
		t.Error("a folder is read")
	}
	big := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(big, bytes.Repeat([]byte(" "), maxFileKiB<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(big); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large file: %v", err)
	}
}

// TestEditTogether lets many change the file at once: no change is lost, and a
// reader never sees half of one.
func TestEditTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := Edit(path, func(f *File) error { return f.CreateProject(fmt.Sprintf("p-%d-%d", w, i), time.Now()) }); err != nil {
					t.Error(err)
				}
				if _, err := Read(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Projects) != writers*each {
		t.Errorf("%d projects, want %d", len(f.Projects), writers*each)
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".auth-*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}

// TestEditFails leaves the file as it was.
func TestEditFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	failed := errors.New("failed")
	if err := Edit(path, func(*File) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file after a failed change: %v", err)
	}
	// A link to the file stays one.
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.WriteFile(path, []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Edit(link, func(f *File) error { return f.CreateProject("p", time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(path); err != nil || !f.HasProject("p") {
		t.Errorf("the file behind the link: %v, %v", f, err)
	}
}

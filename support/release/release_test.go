// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/skip"
)

// The release that all tests look at, of this machine's architecture, and one of a higher
// version, in which a default has changed.
var made struct {
	sync.Once
	top, dir, next        string
	version, commit, date string // of dir
	err                   error
}

// dirVar names a release that was made before, with one architecture, to try in place
// of one that the tests make.
const dirVar = "STROBE_RELEASE"

// describe reads from the image what the release of dirVar is.
func describe() error {
	found, err := filepath.Glob(filepath.Join(made.dir, "strobe-agent_*_"+runtime.GOARCH+".image.tar"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%s: %v: %w", dirVar, found, err)
	}
	out, err := exec.Command("tar", "-xOf", found[0], "index.json").Output()
	if err != nil {
		return err
	}
	var index ociIndex
	if err := json.Unmarshal(out, &index); err != nil {
		return err
	}
	out, err = exec.Command("tar", "-xOf", found[0], "blobs/sha256/"+strings.TrimPrefix(index.Manifests[0].Digest, "sha256:")).Output()
	if err != nil {
		return err
	}
	var m ociManifest
	if err := json.Unmarshal(out, &m); err != nil {
		return err
	}
	const prefix = "org.opencontainers.image."
	made.version, made.commit, made.date = m.Annotations[prefix+"version"], m.Annotations[prefix+"revision"], m.Annotations[prefix+"created"]
	return nil
}

const (
	oldVersion = "7.8.9-dev.1.g0123abc"
	newVersion = "7.8.9"
	testCommit = "0123abc0123abc0123abc0123abc0123abc0123a"
	testDate   = "2026-01-02T03:04:05Z"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if made.top != "" {
		_ = os.RemoveAll(made.top)
	}
	os.Exit(code)
}

// releases returns the directories of both.
func releases(t *testing.T) (dir, next string) {
	t.Helper()
	made.Do(func() { made.err = makeBoth() })
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.dir, made.next
}

func makeBoth() (err error) {
	top, err := os.MkdirTemp("", "strobe-releases-")
	if err != nil {
		return err
	}
	made.top, made.dir, made.next = top, filepath.Join(top, "old"), filepath.Join(top, "new")
	made.version, made.commit, made.date = oldVersion, testCommit, testDate
	if dir := os.Getenv(dirVar); dir != "" {
		made.dir = dir
		err = describe()
	} else {
		err = run(noContext, []string{
			"-root", "../..", "-out", made.dir, "-version", oldVersion, "-commit", testCommit, "-date", testDate, "-arch", runtime.GOARCH,
		})
	}
	if err != nil {
		return err
	}
	// Packages with settings, units and scripts, and without programs: what is tried is the
	// upgrade.
	r := release{root: "../..", out: made.next, version: newVersion, time: time.Unix(1800000000, 0).UTC(), work: filepath.Join(top, "work")}
	if err := errors.Join(os.MkdirAll(r.out, 0o755), os.MkdirAll(filepath.Join(r.work, runtime.GOARCH), 0o755)); err != nil {
		return err
	}
	tarball, err := filepath.Glob(filepath.Join(made.dir, "*.tar.gz"))
	if err != nil || len(tarball) != 1 {
		return fmt.Errorf("%v: %w", tarball, err)
	}
	out, err := exec.Command("tar", "-xf", tarball[0], "-C", filepath.Join(r.work, runtime.GOARCH), "--strip-components=2", "--wildcards", "*/bin/*").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	texts, err := r.texts(noContext)
	if err != nil {
		return err
	}
	for _, name := range []string{"agent.conf", "collectionagent.conf"} {
		texts[name] = append(texts[name], "\n# of the new version\n"...)
	}
	// Compression would take most of the time of these tests.
	for _, p := range programs {
		if err := os.WriteFile(r.binary(runtime.GOARCH, p.name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			return err
		}
	}
	return r.packages(runtime.GOARCH, texts)
}

// output runs a command and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// file returns the one file of a directory that matches a pattern.
func file(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

// needs skips the test unless the program is there.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			skip.Because(t, "needs "+p)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		if err := run(noContext, args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	good := []string{"-version", "1.2.3", "-date", testDate}
	f("-version", "-date", testDate)
	f("-version", "-version", "v1.2.3", "-date", testDate)
	f("-date", "-version", "1.2.3")
	f("-arch", append(good, "-arch", "riscv64")...)
	f("unexpected", append(good, "now")...)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "letters"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f("and no release", append(good, "-out", full)...)
}

// TestSums checks the checksums by the program that users check them with.
func TestSums(t *testing.T) {
	t.Parallel()
	needs(t, "sha256sum")
	dir, _ := releases(t)
	cmd := exec.Command("sha256sum", "-c", "--strict", sumsFile)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil || strings.Count(string(out), ": OK\n") != len(files)-1 || len(files) < 10 {
		t.Errorf("%d files, %v\n%s", len(files), err, out)
	}
}

// TestTarball runs the binaries in it.
func TestTarball(t *testing.T) {
	t.Parallel()
	dir, _ := releases(t)
	f, err := os.Open(file(t, dir, "*.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	var names []string
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.UTC().Format(time.RFC3339) != made.date {
			t.Errorf("%+v", h)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		names = append(names, name)
		if strings.HasPrefix(name, "bin/") && h.Typeflag == tar.TypeReg {
			b, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(into, filepath.Base(name))
			if err := os.WriteFile(path, b, 0o755); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(sourceRoot(t))) {
				t.Errorf("%s has the path of the sources in it", name)
			}
			var info struct{ Version, Commit, Date, Program string }
			if err := json.Unmarshal([]byte(output(t, path, "version", "-o", "json")), &info); err != nil {
				t.Fatal(err)
			}
			if info.Version != made.version || info.Commit != made.commit || info.Date != made.date {
				t.Errorf("%s: %+v", name, info)
			}
			// What is static has no interpreter, which file(1) would name.
			if bytes.Contains(b[:min(len(b), 4096)], []byte("ld-linux")) {
				t.Errorf("%s is not static", name)
			}
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %q", names)
	}
	for _, name := range []string{"LICENSE", "THIRD_PARTY_NOTICES", "README.md", "bin/strobectl", "systemd/strobe-agent.service", "etc/agent.conf", "completion/strobectl.zsh"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s", name)
		}
	}
}

func sourceRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSettings says that the file of a package changes nothing, and that each of its
// lines may be taken into use.
func TestSettings(t *testing.T) {
	t.Parallel()
	dir, _ := releases(t)
	into := t.TempDir()
	output(t, "tar", "-xf", file(t, dir, "*.tar.gz"), "-C", into, "--strip-components=1")
	for _, name := range []string{"agent", "collectionagent"} {
		program := filepath.Join(into, "bin", "strobe-"+name)
		conf := filepath.Join(into, "etc", name+".conf")
		force := inForce[name]
		defaults := output(t, program, "-print-config")
		if key, value, ok := strings.Cut(strings.TrimSpace(force), ": "); ok {
			defaults = output(t, program, "-print-config", "-"+key, value)
		}
		if got := output(t, program, "-print-config", "-config", conf); got != defaults {
			t.Errorf("%s changes the defaults:\n%s", name, got)
		}
		b, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		all := filepath.Join(into, "all.conf")
		text := string(b)
		settings := 0
		for line := range strings.SplitSeq(text, "\n") {
			if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
				text = strings.Replace(text, "\n"+line, "\n"+line[1:], 1)
				settings++
			}
			if len(line) > lineWidth && strings.HasPrefix(line, "# ") {
				t.Errorf("long line %q", line)
			}
		}
		if err := os.WriteFile(all, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := output(t, program, "-print-config", "-config", all); got != defaults || settings < 20 {
			t.Errorf("%s with all %d defaults written out:\n%s", name, settings, got)
		}
	}
}

// TestRPM asks rpm what it thinks of the packages.
func TestRPM(t *testing.T) {
	t.Parallel()
	needs(t, "rpm")
	dir, _ := releases(t)
	for _, p := range parcels {
		path := file(t, dir, p.name+"-*.rpm")
		if got := output(t, "rpm", "-K", "--nosignature", path); !strings.Contains(got, "digests OK") {
			t.Error(got)
		}
		list, config, scripts := output(t, "rpm", "-qpl", path), output(t, "rpm", "-qpc", path), output(t, "rpm", "-qp", "--scripts", path)
		if !strings.Contains(list, "/usr/bin/"+p.name+"\n") || !strings.Contains(list, "THIRD_PARTY_NOTICES") {
			t.Errorf("%s has\n%s", path, list)
		}
		if p.service == "" {
			continue
		}
		if want := "/etc/strobe/" + p.service + ".conf\n/etc/strobe/" + p.service + ".env\n"; config != want {
			t.Errorf("%s has settings\n%s", path, config)
		}
		if !strings.Contains(scripts, p.name+".service") || strings.Contains(scripts, "@") {
			t.Errorf("%s has scripts\n%s", path, scripts)
		}
	}
}

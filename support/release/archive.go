// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file of an archive.
type entry struct {
	name    string // in the archive
	mode    fs.FileMode
	content []byte
}

// sortEntries returns the entries in order, with the directories they are in.
func sortEntries(entries []entry) []entry {
	all := slices.Clone(entries)
	seen := map[string]bool{}
	for _, e := range entries {
		for dir := path.Dir(e.name); dir != "." && dir != "/" && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			all = append(all, entry{name: dir + "/", mode: fs.ModeDir | 0o755})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all
}

// writeTar writes entries that belong to root and are of one time, in their order.
func writeTar(w io.Writer, entries []entry, at time.Time) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Size: int64(len(e.content)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if e.mode.IsDir() {
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.content); err != nil {
			return err
		}
	}
	return t.Close()
}

// compress packs without a name, a time or an operating system in the header.
func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// write writes a file of the release.
func (r *release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), content, 0o644) //nolint:gosec // for everybody
}

// tarball makes the archive for those who install by hand.
func (r *release) tarball(arch string, texts map[string][]byte) error {
	name := fmt.Sprintf("strobe_%s_linux_%s", r.version, arch)
	var entries []entry
	add := func(as string, mode fs.FileMode, content []byte) {
		entries = append(entries, entry{name + "/" + as, mode, content})
	}
	for _, p := range programs {
		b, err := os.ReadFile(r.binary(arch, p.name))
		if err != nil {
			return err
		}
		add("bin/"+p.name, 0o755, b)
	}
	for _, text := range []string{"LICENSE", "README.md", "CHANGELOG.md", "THIRD_PARTY_NOTICES"} {
		add(text, 0o644, texts[text])
	}
	for _, unit := range []string{"strobe-agent.service", "strobe-collectionagent.service"} {
		add("systemd/"+unit, 0o644, texts[unit])
	}
	add("systemd/strobe-agent.service.d/token.conf", 0o644, texts["token.conf"])
	for _, file := range []string{"agent.conf", "collectionagent.conf", "agent.env", "collectionagent.env"} {
		add("etc/"+file, 0o644, texts[file])
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		add("completion/strobectl."+shell, 0o644, texts["completion."+shell])
	}
	var b bytes.Buffer
	if err := writeTar(&b, sortEntries(entries), r.time); err != nil {
		return err
	}
	packed, err := compress(b.Bytes())
	if err != nil {
		return err
	}
	return r.write(name+".tar.gz", packed)
}

// sumsFile has the checksums, as sha256sum -c reads them.
const sumsFile = "SHA256SUMS"

func (r *release) sums() error {
	entries, err := os.ReadDir(r.out) // sorted
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(b), e.Name())
	}
	return r.write(sumsFile, out.Bytes())
}

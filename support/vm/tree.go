// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Tree is a folder that becomes the root of a guest.
type Tree struct{ dir string }

// NewTree makes the folders that every root has below dir, which is made too.
func NewTree(dir string) (*Tree, error) {
	t := &Tree{dir}
	for _, d := range []string{"dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "var", "mnt", "opt"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil { //nolint:gosec // a root
			return nil, err
		}
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} { // as Debian has it
		if err := os.Symlink("usr/"+d, filepath.Join(dir, d)); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
		"etc/hosts":  "127.0.0.1 localhost\n",
		// The identity of a host is made of it.
		"etc/machine-id": "5f1c0de0000040008000000000000001\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // no secret
			return nil, err
		}
	}
	return t, nil
}

// Path is where a path of the guest is on the host.
func (t *Tree) Path(guest string) string { return filepath.Join(t.dir, guest) }

// Copy copies a file or a folder of the host to a path in the guest. Links stay links.
func (t *Tree) Copy(host, guest string) error {
	return filepath.WalkDir(host, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, path)
		if err != nil {
			return err
		}
		to := t.Path(filepath.Join(guest, rel))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a root
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755) //nolint:gosec // a root
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			_ = os.Remove(to)
			return os.Symlink(target, to)
		case d.Type().IsRegular():
			return copyFile(path, to)
		}
		return nil
	})
}

// AddProgram copies a program of the host, or a library, and every library that the
// loader of this host finds for it, to the same places.
func (t *Tree) AddProgram(path string) error { return t.AddProgramAs(path, path) }

// AddProgramAs copies a program to another place, and its libraries to the same ones.
func (t *Tree) AddProgramAs(path, guest string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if err := copyInto(target, t.Path(guest)); err != nil {
		return err
	}
	out, err := exec.Command("ldd", target).CombinedOutput() //nolint:gosec // a program of the host
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") || strings.Contains(string(out), "statically linked") {
			return nil
		}
		return fmt.Errorf("libraries of %s: %w: %s", target, err, out)
	}
	for field := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(field, "/") {
			continue
		}
		lib, err := filepath.EvalSymlinks(field)
		if err != nil {
			return err
		}
		if err := copyInto(lib, t.Path(field)); err != nil {
			return err
		}
	}
	return nil
}

// copyInto copies a file unless it is there.
func copyInto(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a root
		return err
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	st, err := in.Stat()
	if err != nil {
		return err
	}
	_ = os.Remove(to)
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, st.Mode().Perm()) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Image writes the tree as an ext4 file system, all of it root's, into a file.
func (t *Tree) Image(ctx context.Context, file string) error {
	var size int64
	var files int64
	err := filepath.WalkDir(t.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += (info.Size() + 4095) &^ 4095
		files++
		return nil
	})
	if err != nil {
		return err
	}
	// A tenth more for what a file system keeps for itself.
	size += size/10 + files*512 + 32<<20
	f, err := os.Create(file) //nolint:gosec // named by the caller
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	// Not in the PATH of everybody.
	mke2fs := "/usr/sbin/mke2fs"
	if path, err := exec.LookPath("mke2fs"); err == nil {
		mke2fs = path
	}
	_, err = output(ctx, "", mke2fs, "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0",
		"-N", strconv.FormatInt(files+1024, 10), "-E", "root_owner=0:0,lazy_itable_init=1", "-d", t.dir, file)
	if err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	return nil
}

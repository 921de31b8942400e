// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostTree makes a folder of proc for a program in a container: the host's tree of
// cgroups below the root of process 1, and own in it as the program's own tree.
func hostTree(t *testing.T, fsType, own string) (proc string, mountinfo []byte) {
	t.Helper()
	proc = t.TempDir()
	below := filepath.Join(proc, "1", "root", "sys", "fs", "cgroup")
	for _, dir := range []string{own, "init.scope", "system.slice/cron.service"} {
		if err := os.MkdirAll(filepath.Join(below, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(proc, "self", "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("cgroup:[4026532251]", filepath.Join(proc, "self", "ns", "cgroup")); err != nil {
		t.Fatal(err)
	}
	// Seen from inside, the host's root is above one's own.
	up := strings.Repeat("/..", strings.Count(own, "/")+1)
	first := "30 1 0:29 " + up + " /sys/fs/cgroup rw - " + fsType + " cgroup rw\n"
	if err := os.WriteFile(filepath.Join(proc, "1", "mountinfo"), []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	return proc, []byte("75 1 0:29 / " + filepath.Join(below, own) + " ro - " + fsType + " cgroup rw\n")
}

func TestFindOwnCgroup(t *testing.T) {
	t.Parallel()
	for _, fsType := range []string{"cgroup", "cgroup2"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			own := "kubepods/burstable/pod" + uid + "/" + idA
			proc, mountinfo := hostTree(t, fsType, own)
			got := findOwnCgroup(proc, mountinfo)
			if !got.hidden || got.path != "/"+own || (got.hostRoot != "") != (fsType == "cgroup2") {
				t.Fatalf("found %+v, want /%s", got, own)
			}
			// The program itself, a second container of its pod, and one of the host's.
			in := "4:cpu:/\n0::/../" + idB + "\n3:pids:/../../../../system.slice/cron.service\n"
			want := "4:cpu:/" + own + "\n0::/kubepods/burstable/pod" + uid + "/" + idB + "\n3:pids:/system.slice/cron.service\n"
			if abs := got.absolute([]byte(in)); string(abs) != want {
				t.Errorf("absolute:\n%swant\n%s", abs, want)
			}
			if c := parseCgroup(got.absolute([]byte("0::/../" + idB + "\n"))); c.id != idB || c.podUID != uid {
				t.Errorf("the second container of the pod is %+v", c)
			}
		})
	}
}

func TestFindOwnCgroupUnknown(t *testing.T) {
	t.Parallel()
	proc, mountinfo := hostTree(t, "cgroup2", "docker/"+idA)
	if err := os.Remove(filepath.Join(proc, "1", "mountinfo")); err != nil {
		t.Fatal(err)
	}
	got := findOwnCgroup(proc, mountinfo)
	if !got.hidden || got.path != "" {
		t.Errorf("without process 1: %+v", got)
	}
	same := []byte("0::/../" + idB + "\n")
	if abs := got.absolute(same); !bytes.Equal(abs, same) {
		t.Errorf("changed to %q", abs)
	}
	if got := findOwnCgroup(t.TempDir(), mountinfo); got.hidden {
		t.Errorf("without namespaces: %+v", got)
	}
}

func FuzzAbsolute(f *testing.F) {
	f.Add([]byte("0::/../x\n4:a:/\n:::/"))
	f.Fuzz(func(t *testing.T, in []byte) {
		own := ownCgroup{hidden: true, path: "/docker/" + idA}
		for line := range strings.Lines(string(own.absolute(in))) {
			if _, path, ok := strings.Cut(line, ":/"); !ok || strings.HasPrefix(path, "..") {
				t.Errorf("line %q", line)
			}
		}
	})
}

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
	options := map[string]string{"cgroup": "rw,cpu,cpuacct", "cgroup2": "rw,nsdelegate"}[fsType]
	first := "30 1 0:29 " + up + " /sys/fs/cgroup rw - " + fsType + " cgroup " + options + "\n"
	if err := os.WriteFile(filepath.Join(proc, "1", "mountinfo"), []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	// Agents are often given the host's tree beside their own.
	beside := "74 1 0:29 " + up + " /host/sys/fs/cgroup ro - " + fsType + " cgroup " + options + "\n"
	return proc, []byte(beside + "75 1 0:29 / " + filepath.Join(below, own) + " ro - " + fsType + " cgroup " + options + "\n")
}

func TestFindOwnCgroup(t *testing.T) {
	t.Parallel()
	for fsType, line := range map[string]string{"cgroup": "4:cpu,cpuacct:", "cgroup2": "0::"} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			own := "kubepods/burstable/pod" + uid + "/" + idA
			proc, mountinfo := hostTree(t, fsType, own)
			got := findOwnCgroup(proc, mountinfo)
			if !got.hidden || got.path != "/"+own || (got.hostRoot != "") != (fsType == "cgroup2") {
				t.Fatalf("found %+v, want /%s", got, own)
			}
			// The program itself, a second container of its pod, and one of the host's.
			in := line + "/\n" + line + "/../" + idB + "\n" + line + "/../../../../system.slice/cron.service\n"
			want := line + "/" + own + "\n" + line + "/kubepods/burstable/pod" + uid + "/" + idB + "\n" + line + "/system.slice/cron.service\n"
			if abs := got.absolute([]byte(in)); string(abs) != want {
				t.Errorf("absolute:\n%swant\n%s", abs, want)
			}
			// In a hierarchy that its runtime left alone it stands where all of the host does.
			other := "7:misc:/\n3:cpuset:/x\n1:name=systemd:/../y\n"
			if abs := got.absolute([]byte(other)); string(abs) != other {
				t.Errorf("of other hierarchies:\n%swant\n%s", abs, other)
			}
			if c := parseCgroup(got.absolute([]byte(line + "/../" + idB + "\n"))); c.id != idB || c.podUID != uid {
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
		own := ownCgroup{hidden: true, hierarchies: []hierarchy{{path: "/docker/" + idA}, {options: "rw,a", path: "/docker/" + idA}}}
		for line := range strings.Lines(string(own.absolute(in))) {
			_, rest, _ := strings.Cut(line, ":")
			controllers, path, ok := strings.Cut(rest, ":")
			if !ok || !strings.HasPrefix(path, "/") || controllers == "a" && strings.HasPrefix(path, "/..") {
				t.Errorf("line %q", line)
			}
		}
	})
}

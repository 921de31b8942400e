// SPDX-License-Identifier: Apache-2.0

package hostinfo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

const machineID = "0123456789abcdef0123456789abcdef"

// fakeRoot makes a file system; values that start with "->" are targets of links.
func fakeRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		files map[string]string
		opts  Options
		want  Host
	}{
		"host": {
			files: map[string]string{"proc/sys/kernel/hostname": "web1\n", "etc/machine-id": machineID + "\n"},
			want:  Host{"web1", derive(machineID), "machine ID"},
		},
		"in a container": {
			files: map[string]string{
				"proc/sys/kernel/hostname": "3f9c1d0e5b7a\n", "proc/self/ns/uts": "->uts:[2]", "proc/1/ns/uts": "->uts:[1]",
				"proc/1/root/etc/hostname": "node7\n", "proc/1/root/etc/machine-id": machineID,
				"etc/machine-id": "ffffffffffffffffffffffffffffffff",
			},
			want: Host{"node7", derive(machineID), "machine ID"},
		},
		"configured": {
			files: map[string]string{"etc/machine-id": machineID},
			opts:  Options{Name: "n", ID: "i"},
			want:  Host{"n", "i", "configuration"},
		},
		"fresh image": {
			files: map[string]string{
				"etc/machine-id": "uninitialized\n", "var/lib/strobe/host-id": machineID + "\n", "etc/hostname": "img\n",
			},
			want: Host{Name: "img", ID: machineID},
		},
		"nothing to write to": {
			files: map[string]string{"proc/sys/kernel/random/boot_id": "b\n", "var/lib": "a file"},
			want:  Host{"localhost", derive("b"), "boot ID"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.opts.Root = fakeRoot(t, test.files)
			got := Identify(test.opts)
			if test.want.IDSource == "" {
				test.want.IDSource = filepath.Join(test.opts.Root, "var/lib/strobe/host-id")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(got.ID, machineID) && got.IDSource == "machine ID" {
				t.Error("the machine ID itself would leave the host")
			}
		})
	}
}

func TestIDIsKept(t *testing.T) {
	t.Parallel()
	o := Options{Root: t.TempDir(), StateDir: filepath.Join(t.TempDir(), "a", "b")}
	first, second := Identify(o), Identify(o)
	if first.ID != second.ID || len(first.ID) != 32 {
		t.Errorf("IDs %q and %q", first.ID, second.ID)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	root := fakeRoot(t, map[string]string{
		"proc/cpuinfo":                "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: EPYC\nflags\t\t: fpu hypervisor lm\n",
		"proc/meminfo":                "MemTotal:       1024 kB\n",
		"proc/stat":                   "cpu 1\nbtime 1700000031\n",
		"proc/uptime":                 "12.34 5\n",
		"proc/self/mountinfo":         "1 2 0:3 / /c rw - cgroup cgroup rw\n1 2 0:3 / /u rw - cgroup2 cgroup2 rw\n",
		"proc/sys/kernel/osrelease":   "6.1.0\n",
		"etc/os-release":              "PRETTY_NAME=\"Debian 12\"\nNAME='Debian'\nVERSION_ID=12\n",
		"sys/class/dmi/id/sys_vendor": "Nobody Ltd.\n",
	})
	tags := []libpf.Label{{Key: "rack", Value: "a1"}}
	got := Metadata(Options{Root: root, Tags: tags}, Host{Name: "n", ID: "i"}, "v1")
	for key, want := range map[string]string{
		"host.name": "n", "host.id": "i", "host.memory.bytes": "1048576", "host.cpu.model.name": "EPYC",
		"host.boot_time": "2023-11-14T22:14:00Z", uptimeKey: "12", "host.cgroup.version": "hybrid",
		"host.virtualization": "vm", "host.machine": "Nobody Ltd.", "os.name": "Debian", "os.version": "12",
		"os.description": "Debian 12", "kernel.release": "6.1.0", "agent.version": "v1", "os.type": "linux",
		"host.tag.rack": "a1",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	if _, ok := got["kernel.version"]; ok {
		t.Error("a key without a value is there")
	}
	later := Metadata(Options{Root: root, Tags: tags}, Host{Name: "n", ID: "i"}, "v1")
	later[uptimeKey] = "99"
	if Changed(got, later) {
		t.Error("uptime counts as a change")
	}
	later["host.name"] = "m"
	if !Changed(got, later) || !Changed(nil, got) {
		t.Error("a change does not count")
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	got := Resource(map[string]string{
		"host.name": "n", "host.tag.rack": "a1", uptimeKey: "12", "agent.version": "v1", "agent.name": "strobe", "kernel.release": "6.1.0",
	})
	want := map[string]string{
		"host.name": "n", "host.tag.rack": "a1", "telemetry.distro.version": "v1", "telemetry.distro.name": "strobe", "kernel.release": "6.1.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMetadataOfThisHost(t *testing.T) {
	t.Parallel()
	m := Metadata(Options{}, Identify(Options{StateDir: t.TempDir()}), "v1")
	for _, key := range []string{"host.name", "host.id", "kernel.release", "host.memory.bytes"} {
		if m[key] == "" {
			t.Errorf("no %s in %v", key, m)
		}
	}
	t.Log(m)
}

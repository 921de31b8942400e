// SPDX-License-Identifier: Apache-2.0

package hostmemory

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestAvailable(t *testing.T) {
	const meminfo = "MemTotal:        8000000 kB\nMemFree: 1 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing": {nil, math.MaxInt64},
		"machine": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n"}, 8_000_000 << 10},
		"group above": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max": "1000000\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, 1_000_000},
		"container": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/memory.max": "4096\n",
		}, 4096},
		"version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "8192\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 8192},
		"damaged": {map[string]string{"proc/meminfo": "MemTotal: many kB", "proc/self/cgroup": "x"}, math.MaxInt64},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := available(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

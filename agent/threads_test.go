// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestThreadsLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no cgroups": {nil, math.MaxInt64},
		"no limit":   {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/pids.max": "max\n", "sys/fs/cgroup/a/pids.current": "7\n"}, math.MaxInt64},
		"version 2": {map[string]string{
			"proc/self/cgroup":       "0::/a/b\n",
			"sys/fs/cgroup/pids.max": "max\n", "sys/fs/cgroup/a/pids.max": "40\n", "sys/fs/cgroup/a/pids.current": "32\n",
			"sys/fs/cgroup/a/b/pids.max": "30\n", "sys/fs/cgroup/a/b/pids.current": "2\n",
		}, 10}, // 30 of those above are of others
		"version 1": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:pids:/x\n", "sys/fs/cgroup/pids/x/pids.max": "20\n", "sys/fs/cgroup/pids/x/pids.current": "5\n",
			"sys/fs/cgroup/cpu/x/pids.max": "1\n",
		}, 17},
		"container": {map[string]string{
			"proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/pids.max": "12\n", "sys/fs/cgroup/pids.current": "2\n",
		}, 12},
		"nothing left": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/pids.max": "4\n", "sys/fs/cgroup/pids.current": "9\n"}, 0},
		"damaged":      {map[string]string{"proc/self/cgroup": "x", "sys/fs/cgroup/pids.max": "4\n"}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for path, text := range test.files {
				write(path, text)
			}
			for _, thread := range []string{"11", "12"} { // two of its own
				write("proc/self/task/"+thread+"/comm", "agent\n")
			}
			if got, by := threadsLeft(root); got != test.want || (by == "") != (got == math.MaxInt64) {
				t.Errorf("%d by %q, want %d", got, by, test.want)
			}
		})
	}
}

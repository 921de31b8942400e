// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
)

// pythonPrograms returns the subjects that run on CPython, as many versions of it
// as the host has.
func pythonPrograms() map[string]program {
	// on makes a program of a script, for versions of at least 3.oldest; 2.7 is 3.-1.
	on := func(oldest int, which []int, options []string, script string, args ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				path := pythons()[variant]
				if variant == "" {
					if path = usualPython(); path == "" {
						skip.Because(t, "needs python3")
					}
					if versionOf(path) < oldest {
						skip.Because(t, "needs Python 3."+strconv.Itoa(oldest))
					}
				}
				return slices.Concat([]string{path}, options, []string{Source("python", script)}, args)
			},
			// Without any Python the test is to say so.
			onlyVariants: usualPython() != "" && versionOf(usualPython()) < oldest,
			variants: func() []string {
				var out []string
				for v, path := range pythons() {
					if n := versionOf(path); n >= oldest && (which == nil || slices.Contains(which, n)) {
						out = append(out, v)
					}
				}
				slices.Sort(out)
				return out
			},
		}
	}
	// What is the same in several versions is tested on one of them.
	some := []int{9, 12, 13}
	return map[string]program{
		"py":         on(-1, nil, nil, "meadow.py"),
		"py-weave":   on(5, nil, nil, "weave.py"),
		"py-ctypes":  on(-1, some, nil, "pycb.py"),
		"py-threads": on(-1, some, nil, "pythr.py"),
		"py-reuse":   on(-1, some, nil, "reuse.py"),
		// A call of Python takes four frames up to 3.10.
		"py-climb200":  on(-1, some, nil, "climb.py", "200"),
		"py-climb900":  on(11, some, nil, "climb.py", "900"),
		"py-subinterp": on(8, some, nil, "subinterp.py"),
		"py-perf":      on(12, nil, []string{"-X", "perf"}, "meadow.py"),
	}
}

var pythonName = regexp.MustCompile(`^python(2\.7|3\.\d+)d?$`)

// usualPython returns the interpreter that python3 runs, "" if there is none. The
// command may be a script that chooses one.
var usualPython = sync.OnceValue(func() string {
	b, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return ""
	}
	path, err := filepath.EvalSymlinks(strings.TrimSpace(string(b)))
	if err != nil {
		return ""
	}
	return path
})

// versionOf returns the minor version of Python 3, -1 for 2.7, -2 for none.
func versionOf(path string) int {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return -2
	}
	m := pythonName.FindStringSubmatch(filepath.Base(target))
	if m == nil {
		return -2
	}
	if m[1] == "2.7" {
		return -1
	}
	n, err := strconv.Atoi(m[1][2:])
	if err != nil {
		return -2
	}
	return n
}

// pythons finds interpreters in the PATH and among those of pyenv, by a name
// that tells them apart. The one that every host has is left out.
func pythons() map[string]string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	root := os.Getenv("PYENV_ROOT")
	if home, err := os.UserHomeDir(); root == "" && err == nil {
		root = filepath.Join(home, ".pyenv")
	}
	more, err := filepath.Glob(filepath.Join(root, "versions", "*", "bin"))
	if err == nil {
		dirs = append(dirs, more...)
	}
	seen := map[string]bool{}
	seen[usualPython()] = true
	out := map[string]string{}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			target, err := filepath.EvalSymlinks(filepath.Join(dir, f.Name()))
			if err != nil || seen[target] || !pythonName.MatchString(filepath.Base(target)) || !pythonName.MatchString(f.Name()) {
				continue
			}
			elf, err := pfelf.Open(target)
			if err != nil {
				continue // a script that chooses one
			}
			_ = elf.Close()
			seen[target] = true
			name := f.Name()[len("python"):]
			if version := filepath.Base(filepath.Dir(dir)); filepath.Base(filepath.Dir(filepath.Dir(dir))) == "versions" {
				name = version
			}
			if _, there := out[name]; !there {
				out[name] = target
			}
		}
	}
	return out
}

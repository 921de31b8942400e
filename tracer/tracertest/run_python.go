// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// pythonPrograms returns the subjects that run on CPython, as many versions of it
// as the host has.
func pythonPrograms() map[string]program {
	// on makes a program of a script, for versions of at least 3.min; 2.7 is 3.-1.
	on := func(min int, options []string, script string, args ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				path := pythons()[variant]
				if variant == "" {
					path = Installed(t, "python3")
					if v := versionOf(path); v < min {
						skip.Because(t, "needs Python 3."+strconv.Itoa(min))
					}
				}
				return slices.Concat([]string{path}, options, []string{Source("python", script)}, args)
			},
			variants: func() []string {
				var out []string
				for v, path := range pythons() {
					if versionOf(path) >= min {
						out = append(out, v)
					}
				}
				slices.Sort(out)
				return out
			},
		}
	}
	return map[string]program{
		"py":         on(-1, nil, "meadow.py"),
		"py-ctypes":  on(-1, nil, "pycb.py"),
		"py-threads": on(-1, nil, "pythr.py"),
		"py-weave":   on(5, nil, "weave.py"),
		"py-reuse":   on(-1, nil, "reuse.py"),
		// A call of Python takes four frames up to 3.10.
		"py-climb200":  on(-1, nil, "climb.py", "200"),
		"py-climb900":  on(11, nil, "climb.py", "900"),
		"py-subinterp": on(8, nil, "subinterp.py"),
		"py-perf":      on(12, []string{"-X", "perf"}, "meadow.py"),
	}
}

var pythonName = regexp.MustCompile(`^python(2\.7|3\.\d+)d?$`)

// versionOf returns the minor version of Python 3, -1 for 2.7, -2 for none.
func versionOf(path string) int {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return -2
	}
	m := pythonName.FindStringSubmatch(filepath.Base(real))
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
	if path, err := exec.LookPath("python3"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			seen[real] = true
		}
	}
	out := map[string]string{}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			real, err := filepath.EvalSymlinks(filepath.Join(dir, f.Name()))
			if err != nil || seen[real] || !pythonName.MatchString(filepath.Base(real)) || !pythonName.MatchString(f.Name()) {
				continue
			}
			seen[real] = true
			name := f.Name()[len("python"):]
			if version := filepath.Base(filepath.Dir(dir)); filepath.Base(filepath.Dir(filepath.Dir(dir))) == "versions" {
				name = version
			}
			if _, there := out[name]; !there {
				out[name] = real
			}
		}
	}
	return out
}

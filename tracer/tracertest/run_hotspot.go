// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// HotSpotPrograms are the subjects in Java. The variants are further versions that
// are installed.
var HotSpotPrograms = map[string]program{
	"java17":            javaProgram("17", "Mill", noInlining),
	"java17-int":        javaProgram("17", "Mill", []string{"-Xint"}),
	"java17-c1":         javaProgram("17", "Mill", append(noInlining, "-XX:TieredStopAtLevel=1")),
	"java25":            only(javaProgram("25", "Mill", noInlining)),
	"java-inline":       only(javaProgram("17", "Mill", nil)),
	"java-storm":        javaProgram("17", "Storm", []string{"-XX:+UseG1GC"}),
	"java-storm-serial": only(javaProgram("17", "Storm", []string{"-XX:+UseSerialGC", "-XX:-SegmentedCodeCache"})),
	"java-storm-z":      only(javaProgram("17", "Storm", []string{"-XX:+UseZGC"})),
	"java-virtual":      javaVirtual("-XX:+UseG1GC"),
	"java-virtual-z":    javaVirtual("-XX:+UseZGC"),
	"java-jni":          {command: javaNative},
}

var noInlining = []string{"-XX:-Inline"}

// javaHomes returns the installed versions of Java: folders by major version.
func javaHomes() map[string]string {
	out := map[string]string{}
	found, _ := filepath.Glob("/usr/lib/jvm/*/release")
	if java, err := exec.LookPath("java"); err == nil {
		if java, err = filepath.EvalSymlinks(java); err == nil {
			found = append(found, filepath.Join(filepath.Dir(filepath.Dir(java)), "release"))
		}
	}
	for _, path := range found {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, version, ok := strings.Cut(string(b), `JAVA_VERSION="`)
		if !ok {
			continue
		}
		version, _, _ = strings.Cut(strings.TrimPrefix(version, "1."), `"`)
		major, _, _ := strings.Cut(version, ".")
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "bin", "java")); err == nil {
			out[major] = filepath.Dir(path)
		}
	}
	return out
}

// javaHome returns the folder of a version, or skips the test.
func javaHome(t testing.TB, version string) string {
	t.Helper()
	home, ok := javaHomes()[version]
	if !ok {
		skip.Because(t, "needs Java "+version)
	}
	return home
}

// compileJava compiles all sources for every version and returns the folder of the classes.
func compileJava(t testing.TB) string {
	t.Helper()
	javac := Installed(t, "javac")
	dir, err := once(t, "java", func(dir string) (string, error) {
		sources, _ := filepath.Glob(Source("hotspot", "*.java"))
		args := append([]string{javac, "--release", "8", "-Xlint:-options", "-d", dir}, sources...)
		return dir, compileOne("java", args, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// javaProgram runs a class with options.
func javaProgram(version, class string, options []string) program {
	return program{
		command: func(t testing.TB, _, variant string) []string {
			t.Helper()
			if variant == "" {
				variant = version
			}
			home := javaHome(t, variant)
			args := append([]string{filepath.Join(home, "bin", "java")}, options...)
			return append(args, "-cp", compileJava(t), class)
		},
		variants: func() []string {
			var out []string
			for v := range javaHomes() {
				if v != version {
					out = append(out, v)
				}
			}
			slices.Sort(out)
			return out
		},
	}
}

// only leaves the variants out.
func only(p program) program { return program{command: p.command} }

// javaVirtual runs virtual threads on the newest version.
func javaVirtual(option string) program {
	return program{command: func(t testing.TB, _, _ string) []string {
		t.Helper()
		newest := 0
		for v := range javaHomes() {
			if n, err := strconv.Atoi(v); err == nil {
				newest = max(newest, n)
			}
		}
		if newest < 21 {
			skip.Because(t, "needs Java 21")
		}
		home := javaHome(t, strconv.Itoa(newest))
		return []string{filepath.Join(home, "bin", "java"), option, "-cp", compileJava(t), "Storm", "virtual"}
	}}
}

// javaNative runs a program with a library in C.
func javaNative(t testing.TB, dir, _ string) []string {
	t.Helper()
	home := javaHome(t, "17")
	classes := compileJava(t)
	lib := filepath.Join(dir, "libjnimill.so")
	include := filepath.Join(home, "include")
	cmd := exec.Command(Installed(t, "gcc"), "-O2", "-g", "-fPIC", "-shared", "-fomit-frame-pointer", "-I"+include,
		"-I"+filepath.Join(include, "linux"), Source("hotspot", "jnimill.c"), "-o", lib)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return []string{filepath.Join(home, "bin", "java"), "-XX:-Inline", "-Djnimill.lib=" + lib, "-cp", classes, "Jnimill"}
}

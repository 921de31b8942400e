// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// recipe says how a subject is built: the name of its binary and the command.
// %S is the folder of the sources, %B that of the binaries, %O the binary; ~ is
// a space inside an argument.
type recipe struct {
	binary  string
	command string
	// before are binaries that must exist first.
	before []string
}

const plain = " -I%S -O2 -g -fomit-frame-pointer "

var recipes = map[string]recipe{
	"c-o2":           {"c_o2", "gcc" + plain + "%S/chain.c -o %O", nil},
	"c-o0":           {"c_o0", "gcc -I%S -O0 -g %S/chain.c -o %O", nil},
	"c-o3-stripped":  {"c_o3strip", "gcc -I%S -O3 -fomit-frame-pointer -s %S/chain.c -o %O", nil},
	"c-static-nopie": {"c_static", "gcc" + plain + "-static -no-pie %S/chain.c -o %O", nil},
	"c-static-pie":   {"c_stapie", "gcc" + plain + "-static-pie %S/chain.c -o %O", nil},
	"c-musl":         {"c_musl", "musl-gcc" + plain + "-static %S/chain.c -o %O", nil},
	"c-clang":        {"c_clang", "clang" + plain + "%S/chain.c -o %O", nil},
	"c-os":           {"c_os", "gcc -I%S -Os -g -fomit-frame-pointer -fno-plt -Wl,-z,now %S/chain.c -o %O", nil},
	"c-hardened": {"c_hard", "gcc -I%S -O1 -g -fomit-frame-pointer -fcf-protection=full -fstack-clash-protection " +
		"-fstack-protector-strong -fno-optimize-sibling-calls %S/chain.c -o %O", nil},
	"c-lld":      {"c_lld", "clang -I%S -O3 -g -fomit-frame-pointer -fuse-ld=lld %S/chain.c -o %O", nil},
	"c-nopie":    {"c_nopie", "gcc" + plain + "-no-pie %S/chain.c -o %O", nil},
	"c-lto":      {"c_lto", "gcc" + plain + "-flto %S/chain.c -o %O", nil},
	"c-recur60":  {"c_recur60", recursive + "-DDEPTH=60 %S/recur.c -o %O", nil},
	"c-recur200": {"c_recur200", recursive + "-DDEPTH=200 %S/recur.c -o %O", nil},
	"c-recur900": {"c_recur900", recursive + "-DDEPTH=900 %S/recur.c -o %O", nil},
	"c-plt": {"c_plt", "gcc" + plain + "-Wl,-z,lazy %S/pltmain.c -L%B -ldepot -Wl,-rpath,$ORIGIN -o %O",
		[]string{"gcc -O2 -g -fPIC -shared %S/pltlib.c -o %B/libdepot.so"}},
	"c-dlopen": {"c_dlopen", "gcc" + plain + "%S/dlmain.c -o %O",
		[]string{"gcc -O2 -g -fPIC -shared %S/plugin.c -o %B/c_dlopen.plugin.so"}},
	"c-signal":   {"c_signal", "gcc" + plain + "%S/sig.c -o %O", nil},
	"c-sysread":  {"c_sysread", "gcc" + plain + "%S/sysc.c -o %O", nil},
	"c-vdso":     {"c_vdso", "gcc" + plain + "%S/vdso.c -o %O", nil},
	"c-threads":  {"c_threads", "gcc" + plain + "-pthread %S/threads.c -o %O", nil},
	"c-fork":     {"c_mayfly", "gcc" + plain + "%S/forker.c -o %O", nil},
	"c-tail":     {"c_tail", "gcc" + plain + "%S/tail.c -o %O", nil},
	"c-deleted":  {"c_gone", "gcc" + plain + "%S/chain.c -o %O", nil},
	"c-chroot":   {"c_caged", "gcc" + plain + "%S/chain.c -o %O", nil},
	"cpp-shapes": {"cpp_shapes", "g++" + plain + "-std=c++17 %S/shapes.cpp -o %O", nil},
	"rust-forge": {"rs_forge", "rustc -C opt-level=3 -C force-frame-pointers=no -C debuginfo=0 --crate-name forge %S/forge.rs -o %O", nil},
	"go-plain":   {"go_plain", "go -C %S/goplain build -o %O .", nil},
	"go-strip":   {"go_strip", "go -C %S/goplain build -ldflags=-s~-w -o %O .", nil},
	"go-cgo":     {"go_cgo", "go -C %S/gocgo build -o %O .", nil},
}

const recursive = "gcc -O1 -fno-optimize-sibling-calls -fomit-frame-pointer -g "

// sources returns the folder of the subjects' sources.
func sources() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "testdata", "src")
}

// Build compiles a subject into dir and returns its path. It skips the test,
// with a reason, when the compiler is not there.
func Build(t testing.TB, name, dir string) string {
	t.Helper()
	return built(t)(Compile(name, dir))
}

// built returns the path of what was compiled, or ends the test.
func built(t testing.TB) func(path string, err error) string {
	t.Helper()
	return func(path string, err error) string {
		t.Helper()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			skip.Because(t, err.Error())
		case err != nil:
			t.Fatal(err)
		}
		return path
	}
}

// Compile compiles a subject into dir and returns its path. The error is
// [exec.ErrNotFound] when the compiler is not there.
func Compile(name, dir string) (string, error) {
	r, ok := recipes[name]
	if !ok {
		return "", fmt.Errorf("there is no subject %q", name)
	}
	out := filepath.Join(dir, r.binary)
	for _, args := range r.commands(dir, out) {
		if err := compileOne(name, args, goEnvironment(name)); err != nil {
			return "", err
		}
	}
	return out, nil
}

// commands returns the commands that build a subject.
func (r *recipe) commands(dir, out string) [][]string {
	var all [][]string
	for _, command := range append(append([]string(nil), r.before...), r.command) {
		args := strings.Fields(strings.NewReplacer("%S", sources(), "%B", dir, "%O", out).Replace(command))
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "~", " ")
		}
		all = append(all, args)
	}
	return all
}

func goEnvironment(name string) []string {
	if name == "go-plain" || name == "go-strip" {
		return []string{"CGO_ENABLED=0"}
	}
	return nil
}

func compileOne(name string, args, env []string) error {
	if _, err := exec.LookPath(args[0]); err != nil {
		return fmt.Errorf("subject %s needs %s: %w", name, args[0], exec.ErrNotFound)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // from the tables here
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build subject %s: %w\n%s", name, err, b)
	}
	return nil
}

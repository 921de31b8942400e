// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	armGCC = "aarch64-linux-gnu-gcc"
	// Clang describes what is between the instructions that make a frame from 16 on.
	armClang = "clang-19 --target=aarch64-linux-gnu"
	signed   = " -march=armv8.3-a -mbranch-protection="
)

// onlyARM64 are subjects with signed return addresses and with
// frame records only: what arm64 has. They do the same as another subject.
var onlyARM64 = map[string]struct {
	as string
	recipe
}{
	"arm-pac":       {"c-o2", recipe{"arm_pac", armGCC + plain + signed + "pac-ret %S/chain.c -o %O", nil}},
	"arm-pac-leaf":  {"c-o2", recipe{"arm_pacleaf", armGCC + plain + signed + "pac-ret+leaf+b-key %S/chain.c -o %O", nil}},
	"arm-standard":  {"c-o2", recipe{"arm_std", armGCC + plain + signed + "standard -static %S/chain.c -o %O", nil}},
	"arm-pac-deep":  {"c-recur200", recipe{"arm_pacdeep", "aarch64-linux-gnu-" + recursive + signed + "standard -DDEPTH=200 %S/recur.c -o %O", nil}},
	"arm-pac-clang": {"c-o2", recipe{"arm_pacclang", armClang + plain + signed + "pac-ret+leaf %S/chain.c -o %O", nil}},
	"arm-records":   {"c-o2", recipe{"arm_records", armGCC + " -I%S -O2 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer %S/chain.c -o %O", nil}},
	// Nothing but frame records: the compiler writes no unwind information.
	"arm-no-tables": {"c-o2", recipe{"arm_notables", armGCC + " -I%S -O2 -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer " +
		"-fno-asynchronous-unwind-tables -fno-unwind-tables %S/chain.c -o %O", nil}},
}

// ARM64Subjects returns what is expected of the native subjects that can be built for
// arm64 on another architecture, by name.
func ARM64Subjects() (map[string]*Expectation, error) {
	all, err := Expectations()
	if err != nil {
		return nil, err
	}
	out := map[string]*Expectation{}
	for name, r := range recipes {
		if _, special := map[string]bool{"c-deleted": true, "c-chroot": true}[name]; !special && !strings.HasPrefix(r.command, "musl-gcc") {
			out[name] = all[name]
		}
	}
	for name, s := range onlyARM64 {
		e := *all[s.as]
		e.Name, e.Comm = name, "^"+s.binary+"$"
		out[name] = &e
	}
	return out, nil
}

// BuildARM64 is [Build] for arm64, with compilers for it: gcc's and g++'s packages of
// Debian for this, clang-19, Go; rustc is a command that compiles for arm64.
func BuildARM64(t testing.TB, name, dir string, rustc []string) string {
	t.Helper()
	r, ok := recipes[name]
	if s, only := onlyARM64[name]; only {
		r, ok = s.recipe, true
	}
	if !ok {
		t.Fatalf("there is no subject %q", name)
	}
	out := filepath.Join(dir, r.binary)
	for _, args := range r.commands(dir, out) {
		env := []string{"GOARCH=arm64", "CC=" + armGCC, "CGO_ENABLED=1"}
		switch args[0] {
		case "gcc", "g++":
			args[0] = "aarch64-linux-gnu-" + args[0]
		case "clang":
			args = slices.Concat(strings.Fields(armClang), args[1:])
		case "rustc":
			if len(rustc) > 0 {
				args = slices.Concat(rustc, args[1:])
			}
		case "go":
			env = append(env, goEnvironment(name)...)
		}
		for i := range args {
			if strings.HasPrefix(args[i], "-fcf-protection") { // of x86
				args[i] = "-mbranch-protection=standard"
			}
		}
		build(t, name, args, env)
	}
	return out
}

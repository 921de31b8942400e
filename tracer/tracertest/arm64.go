// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	armGCC = "aarch64-linux-gnu-gcc"
	// Debian 12's usual one does not describe what is between the instructions that make
	// a frame.
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

// notARM64 are subjects that only this host can build or start, and c-fork, whose
// shares are those of programs that start fast.
var notARM64 = map[string]bool{"c-deleted": true, "c-chroot": true, "c-musl": true, "c-fork": true}

// ARM64Subjects returns what is expected of the native subjects that can be built for
// arm64 on another architecture, when they run in an emulated machine, by name.
func ARM64Subjects() (map[string]*Expectation, error) {
	all, err := Expectations()
	if err != nil {
		return nil, err
	}
	out := map[string]*Expectation{}
	for name := range recipes {
		if e := *all[name]; !notARM64[name] {
			if err := e.forARM64(); err != nil {
				return nil, err
			}
			out[name] = &e
		}
	}
	for name, s := range onlyARM64 {
		e := *all[s.as]
		e.Name, e.Comm = name, "^"+s.binary+"$"
		out[name] = &e
	}
	return out, nil
}

// forARM64 changes what is different on arm64, and in an emulated machine.
func (e *Expectation) forARM64() error {
	pattern := func(re string) (p Pattern, err error) {
		b, err := json.Marshal(map[string]string{"re": re})
		if err != nil {
			return p, err
		}
		return p, p.UnmarshalJSON(b)
	}
	switch {
	case e.Name == "c-threads":
		// The guest's C library has no names for what only it calls.
		root, err := pattern(`^libc\.so\.6\+0x`)
		if err != nil {
			return err
		}
		e.Root = append(slices.Clone(e.Root), root)
	case e.Name == "c-sysread":
		// The kernel enters system calls by another name, and does not say who called
		// its leaf that clears memory.
		enter, err1 := pattern("^(do_)?el0_svc")
		leaf, err2 := pattern("read_(iter_)?zero|clear_user")
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		e.Chains = slices.Clone(e.Chains)
		c := &e.Chains[0]
		c.Frames = slices.Clone(c.Frames)
		c.Frames[4], c.Frames[6] = enter, leaf
		c.Share, c.Tol = 0.9, 0.1 // here a system call itself takes long
	case e.Name == "c-dlopen", strings.HasPrefix(e.Name, "go-"):
		// The loader, and Go's runtime, have a larger part.
		e.AnchoredMin = 0.7
	}
	return nil
}

// BuildARM64 is [Build] for arm64.
func BuildARM64(t testing.TB, name, dir string, rustc []string) string {
	t.Helper()
	return built(t)(CompileARM64(name, dir, rustc))
}

// CompileARM64 is [Compile] for arm64, with compilers for it: Debian's packages of gcc
// and g++, clang-19, and Go. The command rustc is one of a compiler for arm64.
func CompileARM64(name, dir string, rustc []string) (string, error) {
	r, ok := recipes[name]
	if s, only := onlyARM64[name]; only {
		r, ok = s.recipe, true
	}
	if !ok {
		return "", fmt.Errorf("there is no subject %q", name)
	}
	out := filepath.Join(dir, r.binary)
	for _, args := range r.commands(dir, out) {
		switch args[0] {
		case "gcc", "g++":
			args[0] = "aarch64-linux-gnu-" + args[0]
		case "clang":
			args = slices.Concat(strings.Fields(armClang), args[1:])
		case "rustc":
			if len(rustc) > 0 {
				args = slices.Concat(rustc, args[1:])
			}
		}
		for i := range args {
			if strings.HasPrefix(args[i], "-fcf-protection") { // of x86
				args[i] = "-mbranch-protection=standard"
			}
		}
		env := append([]string{"GOARCH=arm64", "CC=" + armGCC, "CGO_ENABLED=1"}, goEnvironment(name)...)
		if err := compileOne(name, args, env); err != nil {
			return "", err
		}
	}
	return out, nil
}

// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"encoding/json"
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

// NotARM64 are the subjects that are left out on arm64, and why.
var NotARM64 = map[string]string{
	"c-deleted": "its file is removed by who starts it, which the guest's program does not do",
	"c-chroot":  "it is started in a root that is made of this host's libraries",
	"c-musl":    "the compiler with musl that Debian has is for this host only",
}

// emulated are what subjects are told because an emulated CPU is not slow evenly: the
// start of a process, with its page faults, the way into the kernel and waking up others
// take long, a loop and clearing memory do not. They do more of what they are about.
var emulated = map[string][]string{
	"c-fork":    {"-DDAY=300"},
	"c-sysread": {"-DBLOCK=(16<<20)"},
	"c-threads": {"-DSHIFT=8"},
	"go-cgo":    {"-ldflags=-X=main.voyage=16"},
}

// ARM64Subjects returns what is expected of the native subjects that can be built for
// arm64 on another architecture, when they run in an emulated machine, by name.
func ARM64Subjects() (map[string]*Expectation, error) {
	all, err := Expectations()
	if err != nil {
		return nil, err
	}
	out := map[string]*Expectation{}
	for name := range recipes {
		if e := *all[name]; NotARM64[name] == "" {
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

// forARM64 changes what the architecture makes different, and nothing else: a guest
// that is slow is judged as this host is.
func (e *Expectation) forARM64() error {
	if e.Name != "c-sysread" {
		return nil
	}
	// The kernel enters system calls by another name, and does not say who called its
	// leaf that clears memory, which makes no frame.
	e.Chains = slices.Clone(e.Chains)
	c := &e.Chains[0]
	c.Frames = slices.Clone(c.Frames)
	for i, re := range map[int]string{4: "^(do_)?el0_svc", 6: "read_(iter_)?zero|clear_user"} {
		b, err := json.Marshal(map[string]string{"re": re})
		if err == nil {
			err = c.Frames[i].UnmarshalJSON(b)
		}
		if err != nil {
			return err
		}
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
		if i := slices.Index(args, "build"); args[0] == "go" && i > 0 {
			args = slices.Insert(args, i+1, emulated[name]...) // what follows are packages
		} else {
			args = append(args, emulated[name]...)
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

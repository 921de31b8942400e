// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// dotnetSingles are the applications that are single files, by variant.
var dotnetSingles = map[string]string{"9.0.7-single": "dotnet9-single", "10.0.11-single": "dotnet10-single"}

// dotnetPackage is where npm puts the application that carries the runtime.
var dotnetPackage = filepath.Join("node_modules", "@azure", "mcp-linux-x64", "dist")

// dotnetPrograms returns the subjects that run on .NET. No package of the
// distribution has it: the runtime is that of an application in npm's registry,
// hosted by a small program, or that of a single-file application, into which the
// subject is put. Mono's compiler makes the subjects.
func dotnetPrograms() map[string]program {
	hosted := func(source string, args ...string) program {
		return program{command: func(t testing.TB, dir, _ string) []string {
			t.Helper()
			needsAMD64(t)
			runtime := Fetched(t, "dotnet9", dotnetPackage)
			host, exe := filepath.Join(dir, "clrhost"), filepath.Join(dir, source+".exe")
			compile(t, "gcc", "-O2", Source("dotnet", "clrhost.c"), "-o", host, "-ldl")
			compile(t, "mcs", "-unsafe", "-out:"+exe, Source("dotnet", source+".cs"))
			return append([]string{host, runtime, exe}, args...)
		}}
	}
	quarry := hosted("Quarry")
	return map[string]program{
		"clr9": {
			command: func(t testing.TB, dir, variant string) []string {
				t.Helper()
				if variant == "" {
					return quarry.command(t, dir, variant)
				}
				return []string{single(t, dir, Fetched(t, dotnetSingles[variant], dotnetPackage, "azmcp"))}
			},
			variants: func() []string { return []string{"9.0.7-single", "10.0.11-single"} },
		},
		"clr9-vault": hosted("Vault"),
		"clr9-deep":  hosted("Vault", "deep"),
	}
}

func needsAMD64(t testing.TB) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		skip.Because(t, "the runtimes that are fetched are for amd64")
	}
}

// compile runs a compiler, or skips the test where there is none.
func compile(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(Installed(t, name), args...) //nolint:gosec // a compiler
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, b)
	}
}

// single puts the subject into a single-file application, in place of its own
// program, and returns the path of that.
func single(t testing.TB, dir, app string) string {
	t.Helper()
	needsAMD64(t)
	b, err := readBundle(app)
	if err != nil {
		t.Fatal(err)
	}
	const core = "System.Private.CoreLib.dll"
	library, exe, out := filepath.Join(dir, core), filepath.Join(dir, "azmcp.dll"), filepath.Join(dir, "clrhost")
	if err := os.WriteFile(library, b.file(core), 0o644); err != nil { //nolint:gosec // a library
		t.Fatal(err)
	}
	compile(t, "mcs", "-nostdlib", "-noconfig", "-r:"+library, "-out:"+exe, Source("dotnet", "Quarry.cs"))
	program, err := os.ReadFile(exe) //nolint:gosec // just made
	if err != nil {
		t.Fatal(err)
	}
	if err := b.replace("azmcp.dll", program); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, b.image, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return out
}

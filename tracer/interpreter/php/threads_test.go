// SPDX-License-Identifier: Apache-2.0

package php

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/strobe-profiler/strobe/libpf/pfelf"
	"github.com/strobe-profiler/strobe/support/skip"
	"github.com/strobe-profiler/strobe/tracer/process"
)

// TestThreadLocal compiles the accessor of thread-safe builds in the ways in
// which programs and libraries have it.
func TestThreadLocal(t *testing.T) {
	t.Parallel()
	gcc, err := exec.LookPath("gcc")
	if err != nil || runtime.GOARCH != "amd64" {
		skip.Because(t, "needs gcc for x86-64")
	}
	const accessor = "static __thread void *cache TLS; void *tsrm_get_ls_cache(void) { return cache; } void set(void *p) { cache = p; }"
	tests := map[string]struct {
		args  []string
		slot  bool
		known bool
	}{
		"program":            {[]string{"-rdynamic", "-DTLS=", "-DMAIN"}, false, true},
		"without PIE":        {[]string{"-rdynamic", "-no-pie", "-DTLS=", "-DMAIN"}, false, true},
		"control protection": {[]string{"-rdynamic", "-fcf-protection=full", "-DTLS=", "-DMAIN"}, false, true},
		"through a base":     {[]string{"-rdynamic", "-mno-tls-direct-seg-refs", "-DTLS=", "-DMAIN"}, false, true},
		"library":            {[]string{"-shared", "-fPIC", `-DTLS=__attribute__((tls_model("initial-exec")))`}, true, true},
		"dynamic library":    {[]string{"-shared", "-fPIC", "-DTLS="}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src, out := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
			code := accessor + "\n#ifdef MAIN\nint main(void) { return 0; }\n#endif\n"
			if err := os.WriteFile(src, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-O2", src, "-o", out}, tt.args...)
			if b, err := exec.Command(gcc, args...).CombinedOutput(); err != nil { //nolint:gosec // a compiler
				t.Fatalf("%v\n%s", err, b)
			}
			f, err := pfelf.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // read only
			img, err := newImage(f)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := img.threadLocal(f, "tsrm_get_ls_cache")
			if ok != tt.known || (got.slot != 0) != tt.slot || ok && !tt.slot && (got.fixed >= 0 || got.fixed < -64) {
				t.Errorf("got %+v %v", got, ok)
			}
		})
	}
}

func TestThreadLocalOffset(t *testing.T) {
	t.Parallel()
	w := newWorld()
	at := w.add([]byte{0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8})
	mem := w.memory()
	if got, err := (threadLocal{slot: at - 0x1000}).offset(mem, 0x1000); got != -16 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := (threadLocal{fixed: -8}).offset(mem, 0x1000); got != -8 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := (threadLocal{slot: at + 8}).offset(mem, 0); err == nil {
		t.Errorf("got %d of noise", got)
	}
	if got, err := (threadLocal{slot: 4096}).offset(process.NewMemoryFunc(func([]byte, uint64) error { return process.ErrMemory }), 0); err == nil {
		t.Errorf("got %d of nothing", got)
	}
}

// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// PHPPrograms are the subjects in PHP. The variants are further versions that are
// on the search path as php7.4 and so on.
var PHPPrograms = map[string]program{
	"php":                phpProgram("bakery.php", "7.3", phpPlain),
	"php-opcache":        phpProgram("bakery.php", "7.3", phpOpcache),
	"php-function":       phpProgram("bakery.php", "8.0", phpJIT("function")),
	"php-tracing":        phpProgram("bakery.php", "8.0", phpJIT("tracing")),
	"php-calls":          phpProgram("pantry.php", "7.3", phpPlain),
	"php-calls-function": phpProgram("pantry.php", "8.0", phpJIT("function")),
	"php-calls-tracing":  phpProgram("pantry.php", "8.0", phpJIT("tracing")),
	"php-fiber":          phpProgram("bistro.php", "8.1", phpPlain),
	"php-fiber-tracing":  phpProgram("bistro.php", "8.1", phpJIT("tracing")),
	"php-regex":          phpProgram("market.php", "7.3", phpPlain),
	"php-fpm":            {command: phpFPM("0")},
	"php-fpm-opcache":    {command: phpFPM("1")},
}

var (
	phpPlain   = []string{"-d", "opcache.enable_cli=0"}
	phpOpcache = []string{"-d", "opcache.enable_cli=1"}
)

// phpJIT are the settings for code that is compiled, by function or by trace.
func phpJIT(kind string) []string {
	return append(slices.Clip(phpOpcache), "-d", "opcache.jit="+kind, "-d", "opcache.jit_buffer_size=64M")
}

// phpProgram runs a script with settings, in variants from a version on.
func phpProgram(script, from string, settings []string) program {
	return program{
		command: func(t testing.TB, _, variant string) []string {
			t.Helper()
			args := append([]string{Installed(t, "php"+variant)}, settings...)
			return append(args, Source("php", script))
		},
		variants: func() []string {
			var out []string
			standard, _ := exec.LookPath("php")
			standard, _ = filepath.EvalSymlinks(standard)
			for _, v := range []string{"7.3", "7.4", "8.0", "8.1", "8.2", "8.3", "8.4", "8.5"} {
				path, err := exec.LookPath("php" + v)
				if err != nil || v < from {
					continue
				}
				if path, err = filepath.EvalSymlinks(path); err == nil && path != standard {
					out = append(out, v)
				}
			}
			return out
		},
	}
}

// phpFPM starts a server and sends it requests.
func phpFPM(opcache string) func(testing.TB, string, string) []string {
	return func(t testing.TB, _, _ string) []string {
		t.Helper()
		server := ""
		if found, _ := filepath.Glob("/usr/sbin/php-fpm*"); len(found) > 0 {
			server = found[len(found)-1]
		} else {
			server = Installed(t, "php-fpm")
		}
		return []string{Installed(t, "php"), Source("php", "fpm.php"), strings.TrimSpace(server), opcache}
	}
}

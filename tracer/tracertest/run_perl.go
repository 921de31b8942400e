// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/strobe-profiler/strobe/support/skip"
)

// perlPrograms returns the subjects that run on Perl, in as many versions as
// perlbrew has on the host.
func perlPrograms() map[string]program {
	on := func(script string, needs ...string) program {
		return program{
			command: func(t testing.TB, _, variant string) []string {
				t.Helper()
				perl := perls()[variant]
				if variant == "" {
					perl = Installed(t, "perl")
				}
				for _, module := range needs {
					if err := exec.Command(perl, "-M"+module, "-e", "1").Run(); err != nil { //nolint:gosec // a perl
						skip.Because(t, "needs a perl with "+module)
					}
				}
				return []string{perl, Source("perl", script)}
			},
			variants: func() []string {
				var out []string
				for v := range perls() {
					out = append(out, v)
				}
				slices.Sort(out)
				return out
			},
		}
	}
	return map[string]program{
		"perl":         on("harbor.pl", "Time::HiRes"),
		"perl-reef":    on("reef.pl"),
		"perl-current": on("current.pl", "threads", "List::Util"),
	}
}

// perls returns further perls of the host, by their names.
func perls() map[string]string {
	out := map[string]string{}
	for _, pattern := range []string{"/opt/perl*/bin/perl", "/opt/perl5/perlbrew/perls/*/bin/perl"} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			out[filepath.Base(filepath.Dir(filepath.Dir(path)))] = path
		}
	}
	return out
}

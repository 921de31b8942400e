// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

func statLine(comm string, flags, start, envStart uint64) string {
	fields := make([]string, 50)
	for i := range fields {
		fields[i] = "0"
	}
	fields[0] = "S"
	fields[statFlags] = strconv.FormatUint(flags, 10)
	fields[statStartTime] = strconv.FormatUint(start, 10)
	fields[statEnvStart] = strconv.FormatUint(envStart, 10)
	return "42 (" + comm + ") " + strings.Join(fields, " ") + "\n"
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want stat
		err  bool
	}{
		"plain":         {statLine("nginx", 0x400000, 309625, 4096), stat{comm: "nginx", startTime: 3096250000000, envStart: 4096}, false},
		"kernel thread": {statLine("kworker/0:1", 0x208040, 11, 0), stat{comm: "kworker/0:1", startTime: 110000000, kernelThread: true}, false},
		"nasty name":    {statLine("a) S 1 (b", 0, 1, 0), stat{comm: "a) S 1 (b", startTime: 10000000}, false},
		"broken UTF-8":  {statLine("\xff\n", 0, 1, 0), stat{comm: "\uFFFD ", startTime: 10000000}, false},
		"old kernel":    {"1 (init) S" + strings.Repeat(" 0", 17) + " 0 7", stat{comm: "init", startTime: 70000000}, false},
		"empty":         {"", stat{}, true},
		"short":         {"1 (x) S 0", stat{}, true},
		"no number":     {strings.Replace(statLine("x", 77777, 1, 0), "77777", "abc", 1), stat{}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat([]byte(test.in))
			if (err != nil) != test.err {
				t.Fatalf("error %v, want error: %v", err, test.err)
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestParseStatOfThisProcess(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	s, err := parseStat(b)
	if err != nil || s.startTime == 0 || s.comm == "" || s.kernelThread {
		t.Errorf("parseStat = %+v, %v", s, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine("x", 1, 2, 3)))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := parseStat(in)
		if err != nil && s != (stat{}) {
			t.Errorf("both a result and an error: %+v, %v", s, err)
		}
		if !utf8.ValidString(s.comm) {
			t.Errorf("name %q is not UTF-8", s.comm)
		}
	})
}

func TestParseEnviron(t *testing.T) {
	t.Parallel()
	wanted := map[string]bool{"A": true, "B": true}
	tests := map[string]struct {
		in   string
		want environment
	}{
		"some":         {"A=1\x00C=2\x00B=x=y\x00", environment{"A": "1", "B": "x=y"}},
		"first counts": {"A=1\x00A=2\x00", environment{"A": "1"}},
		"cut off":      {"B=1\x00A=12", environment{"B": "1"}},
		"no value":     {"A\x00B=\x00", environment{"B": ""}},
		"empty":        {"", environment{}},
		"overwritten":  {"postgres: writer process   ", environment{}},
		"not UTF-8":    {"A=\xff\x00", environment{"A": "\uFFFD"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseEnviron([]byte(test.in), wanted)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAttributes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want map[string]string
	}{
		"two":          {"service.name=web,service.version=1.2", map[string]string{"service.name": "web", "service.version": "1.2"}},
		"encoded":      {"a=x%2Cy%3Dz%20w,b=%E2%82%AC", map[string]string{"a": "x,y=z w", "b": "€"}},
		"plus is plus": {"a=1+1", map[string]string{"a": "1+1"}},
		"spaces":       {" a = b , c=d ", map[string]string{"a": "b", "c": "d"}},
		"broken":       {"a=%zz,b,=c,d=,e=1", map[string]string{"e": "1"}},
		"last counts":  {"a=1,a=2", map[string]string{"a": "2"}},
		"equals":       {"a=b=c", map[string]string{"a": "b=c"}},
		"empty":        {"", map[string]string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseAttributes(test.in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if n := len(parseAttributes(strings.Repeat("k=v,", 10) + manyAttributes(1000))); n > maxAttributes {
		t.Errorf("%d attributes, want at most %d", n, maxAttributes)
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("key" + strconv.Itoa(i) + "=v,")
	}
	return b.String()
}

func FuzzDescribe(f *testing.F) {
	f.Add([]byte("OTEL_SERVICE_NAME=web\x00OTEL_RESOURCE_ATTRIBUTES=service.name=a,k8s.pod.name=p%20q\x00HOSTNAME=h\x00"), true)
	f.Add([]byte("OTEL_RESOURCE_ATTRIBUTES=%,=,a=%zz\x00"), false)
	f.Fuzz(func(t *testing.T, environ []byte, inPod bool) {
		wanted := map[string]bool{}
		for _, name := range wellKnownVariables {
			wanted[name] = true
		}
		p := &libpf.Process{}
		describe(p, parseEnviron(environ, wanted), []string{"HOSTNAME"}, inPod, inPod)
		for _, text := range []string{p.Service, p.PodName, p.Namespace, p.ContainerName, p.ContainerID} {
			if !utf8.ValidString(text) || len(text) > 3*maxValueBytes {
				t.Errorf("text of %d bytes: %q", len(text), text)
			}
		}
		for _, l := range p.Labels {
			if l.Key == "" || l.Value == "" || !utf8.ValidString(l.Key) || !utf8.ValidString(l.Value) {
				t.Errorf("label %q=%q", l.Key, l.Value)
			}
		}
	})
}

func TestExecutable(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, path, name string }{
		{"/usr/sbin/nginx", "/usr/sbin/nginx", "nginx"},
		{"/opt/app (deleted)", "/opt/app", "app"},
		{"/memfd:runc_cloned:/proc/self/exe (deleted)", "memfd:runc_cloned:/proc/self/exe", "runc_cloned"},
		{"/memfd:app (deleted)", "memfd:app", "app"},
		{"/memfd: (deleted)", "memfd:", "memfd"},
		{"", "", ""},
		{"/", "/", ""},
		{"/a\nb", "/a b", "a b"},
	}
	for _, test := range tests {
		got := executablePath(test.target)
		if got != test.path || executableName(got) != test.name {
			t.Errorf("%q: path %q, name %q; want %q, %q", test.target, got, executableName(got), test.path, test.name)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	if got := clean("aé", 2); got != "a" {
		t.Errorf("cut inside a character: %q", got)
	}
	if got := clean(strings.Repeat("\x80", 10), 4); !utf8.ValidString(got) {
		t.Errorf("continuation bytes only: %q", got)
	}
}

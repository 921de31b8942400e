// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strobe-profiler/strobe/support/program"
)

// interval is a range of times.
type interval struct{ from, to time.Time }

func (i interval) query(parameters ...string) string {
	q := url.Values{
		"from": {strconv.FormatInt(i.from.UnixMilli(), 10)}, "to": {strconv.FormatInt(i.to.UnixMilli(), 10)},
	}
	for j := 0; j < len(parameters); j += 2 {
		q.Set(parameters[j], parameters[j+1])
	}
	return "?" + q.Encode()
}

// weight returns the number of samples of all types.
func (s *server) weight(ctx context.Context, i interval) (sum uint64) {
	var a struct {
		Types []struct {
			Samples uint64 `json:"samples"`
		} `json:"types"`
	}
	_ = json.Unmarshal([]byte(program.Get(ctx, s.http+"/api/v1/types"+i.query())), &a) // 0 until it answers
	for _, t := range a.Types {
		sum += t.Samples
	}
	return sum
}

// answers are what a collection agent says of everything it has, in lines that may stand
// in any order, by question.
type answers map[string][]string

func (a answers) lines() (n int) {
	for _, lines := range a {
		n += len(lines)
	}
	return n
}

var symbolized = regexp.MustCompile(`"symbolized":[0-9.]+,`)

var sampleTypes = []string{"on_cpu", "off_cpu", "event"}

// ask asks for everything.
func ask(t *testing.T, address string, i interval) answers {
	t.Helper()
	fetch := func(path string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/api/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v: %.500s", path, resp.Status, err, b)
		}
		return b
	}
	out := answers{}
	decode := func(question, path string, lines func(answer) []string) {
		t.Helper()
		var a answer
		if err := json.Unmarshal(fetch(path), &a); err != nil {
			t.Fatalf("%s: %v", question, err)
		}
		out[question] = lines(a)
	}
	out["types"] = []string{string(fetch("types" + i.query()))}
	for _, typ := range sampleTypes {
		totals := string(fetch("totals" + i.query("type", typ, "frames", `!{function="none"}`)))
		// An address that stands for a name counts as one only where it was sent as a name: see docs/otlp.md.
		out[typ+" totals"] = []string{symbolized.ReplaceAllString(totals, "")}
		folded := fetch("folded" + i.query("type", typ, "group_by", "service,process,pid,tid,comm,pod"))
		out[typ+" folded"] = strings.Split(strings.TrimSpace(string(folded)), "\n")
		decode(typ+" flame graph", "flamegraph"+i.query("type", typ, "group_by", "service", "max_nodes", "1000000"), answer.nodes)
		decode(typ+" series", "series"+i.query("type", typ, "limit", "100000"), answer.series)
		decode(typ+" exemplars", "exemplars"+i.query("type", typ, "limit", "10000"), answer.exemplars)
	}
	return out
}

// answer is what the questions have in their answers.
type answer struct {
	Labels []string `json:"labels"`
	Series []struct {
		Values       []string `json:"values"`
		Samples, Sum int64
	} `json:"series"`
	Exemplars []struct {
		Time     int64             `json:"time_ms"`
		TraceID  string            `json:"trace_id"`
		SpanID   string            `json:"span_id"`
		Value    int64             `json:"value"`
		Samples  int64             `json:"samples"`
		Labels   map[string]string `json:"labels"`
		Function map[string]any    `json:"function"`
	} `json:"exemplars"`
	Strings []string `json:"strings"`
	Frames  struct {
		Name, File, Line, Binary, Kind, Inlined []int
	} `json:"frames"`
	Nodes struct {
		Frame, Depth []int
		Self, Total  []int64
	} `json:"nodes"`
}

func (a answer) series() []string {
	out := make([]string, len(a.Series))
	for i, s := range a.Series {
		var b strings.Builder
		for j, value := range s.Values {
			if value != "" {
				fmt.Fprintf(&b, "%s=%q ", a.Labels[j], value)
			}
		}
		fmt.Fprintf(&b, "samples=%d sum=%d", s.Samples, s.Sum)
		out[i] = b.String()
	}
	return out
}

func (a answer) exemplars() []string {
	out := make([]string, len(a.Exemplars))
	for i, e := range a.Exemplars {
		var labels []string
		for _, key := range slices.Sorted(maps.Keys(e.Labels)) {
			labels = append(labels, fmt.Sprintf("%s=%q", key, e.Labels[key]))
		}
		out[i] = fmt.Sprintf("%d trace %s span %s value %d samples %d %s in %v", e.Time, e.TraceID, e.SpanID, e.Value, e.Samples,
			strings.Join(labels, " "), e.Function)
	}
	return out
}

// nodes writes a line for each node: what is known of its frame, its values, and its callers.
func (a answer) nodes() []string {
	out := make([]string, len(a.Nodes.Frame))
	var callers []string
	for i, f := range a.Nodes.Frame {
		frame := fmt.Sprintf("%s (%s:%d, %s, %s, inlined %d)", a.Strings[a.Frames.Name[f]], a.Strings[a.Frames.File[f]],
			a.Frames.Line[f], a.Strings[a.Frames.Binary[f]], a.Strings[a.Frames.Kind[f]], a.Frames.Inlined[f])
		callers = append(callers[:a.Nodes.Depth[i]], a.Strings[a.Frames.Name[f]])
		out[i] = fmt.Sprintf("%s self %d total %d below %s", frame, a.Nodes.Self[i], a.Nodes.Total[i],
			strings.Join(callers[max(0, len(callers)-4):len(callers)-1], ";"))
	}
	return out
}

// holds checks that the answers have something of everything, so that there is
// something to compare.
func (a answers) holds(t *testing.T) {
	t.Helper()
	for question, marks := range map[string][]string{
		"on_cpu flame graph": {"inlined 1", ", kernel,", ", go,", ", python,", ", v8,", ", jvm,", ", native,", ", error,"},
		"on_cpu series": {
			`route="red"`, `suite="e2e"`, `process.environment_variable.STROBE_E2E_RUN="same; run=1,2"`, `host="` + hostName + `"`,
			`host_id="` + hostID + `"`, `service="kernel"`, `container_id=`, `namespace="shop"`, `tid=`,
		},
		"on_cpu exemplars":  {"trace 0a"},
		"off_cpu exemplars": {"trace 0a"},
		"off_cpu folded":    {"futex"},
		"event folded":      {"page_fault"},
	} {
		for _, mark := range marks {
			if !slices.ContainsFunc(a[question], func(line string) bool { return strings.Contains(line, mark) }) {
				t.Errorf("%s: nothing has %q in %d lines", question, mark, len(a[question]))
			}
		}
	}
}

// compare reports what differs.
func compare(t *testing.T, want, got answers) {
	t.Helper()
	for _, question := range slices.Sorted(maps.Keys(want)) {
		missing, extra := difference(want[question], got[question])
		if len(missing)+len(extra) == 0 {
			continue
		}
		const most = 12
		t.Errorf("%s: %d lines of %d are missing, %d are extra\n- %s\n+ %s", question, len(missing), len(want[question]), len(extra),
			strings.Join(missing[:min(most, len(missing))], "\n- "), strings.Join(extra[:min(most, len(extra))], "\n+ "))
	}
}

// difference returns what of two lists of lines has no partner.
func difference(want, got []string) (missing, extra []string) {
	counts := map[string]int{}
	for _, line := range want {
		counts[line]++
	}
	for _, line := range got {
		if counts[line]--; counts[line] < 0 {
			extra = append(extra, line)
		}
	}
	for _, line := range want {
		if counts[line] > 0 {
			counts[line]--
			missing = append(missing, line)
		}
	}
	slices.Sort(missing)
	slices.Sort(extra)
	return missing, extra
}

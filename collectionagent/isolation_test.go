// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/klauspost/compress/gzip"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/pyroscope"
	"github.com/strobe-profiler/strobe/libpf"
	pb "github.com/strobe-profiler/strobe/proto/collectionagent/v1"
)

// paint sends the same host, stacks, executables and symbols for every project,
// with the name of the project in each text, and returns all answers.
func (r *rig) paint(project string, now time.Time) []any {
	r.t.Helper()
	c := pb.NewCollectionAgentClient(r.conn)
	ctx := r.with(r.tokens[project+" ingest"])
	frames := []libpf.Frame{
		{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 3},
		{Type: libpf.NativeFrame, FileID: libpf.NewFileID(1, 2), AddressOrLineno: 4},
	}
	defined, unheard := libpf.HashTrace(frames), libpf.HashTrace(frames[:1])
	batch := func() *pb.Batch {
		return &pb.Batch{HostId: "h1", RunId: []byte("0123456789abcdef"), Sequence: 1, HostName: "host-" + project}
	}
	samples := &pb.AddCountsForTracesRequest{
		Batch: batch(), StringTable: []string{"", project + "-service", project + "-comm", project + ".key", project + "-process"},
		HiTraceHashes: []uint64{defined.Hi(), unheard.Hi()}, LoTraceHashes: []uint64{defined.Lo(), unheard.Lo()},
		Processes:  []*pb.Process{{Pid: 1, Name: 4, Service: 1, Labels: &pb.LabelSet{Keys: []uint32{3}, Values: []uint32{3}}}},
		ThreadTids: []uint32{1}, ThreadComms: []uint32{2}, SourceProcesses: []uint32{0}, SourceThreads: []uint32{0},
		BaseTime: now.Add(-time.Second).UnixNano(), TimeDeltas: []int64{0, 0}, Stacks: []uint32{0, 1}, Sources: []uint32{0, 0},
		DefaultValue: 50_000_000, DefaultType: uint32(libpf.SampleOnCPU),
		Spans: [][]byte{bytes.Repeat([]byte{7}, 24)}, SpanRefs: []uint32{1, 0},
	}
	table := &pb.SetFramesForTracesRequest{
		Batch: batch(), StringTable: []string{""}, HiFileIds: []uint64{1}, LoFileIds: []uint64{2},
		FrameTypes: []uint32{uint32(libpf.NativeFrame), uint32(libpf.NativeFrame)}, FrameFiles: []uint32{0, 0}, FrameAddresses: []uint64{3, 4},
		HiTraceHashes: []uint64{defined.Hi()}, LoTraceHashes: []uint64{defined.Lo()}, FrameCounts: []uint32{2}, Frames: []uint32{0, 1},
	}
	if project == "red" { // defines what blue only refers to
		table.HiTraceHashes, table.LoTraceHashes = append(table.HiTraceHashes, unheard.Hi()), append(table.LoTraceHashes, unheard.Lo())
		table.FrameCounts, table.Frames = []uint32{2, 1}, []uint32{0, 1, 0}
	}
	symbols := &pb.AddFrameMetadataRequest{
		Batch: batch(), StringTable: []string{"", project + "_leaf", project + "_root", project + ".c"}, HiFileIds: []uint64{1}, LoFileIds: []uint64{2},
		Files: []uint32{0, 0}, Addresses: []uint64{3, 4}, LineCounts: []uint32{1, 1},
		Functions: []uint32{1, 2}, SourceFiles: []uint32{3, 3}, Lines: []uint64{5, 6},
	}
	executables := &pb.AddExecutableMetadataRequest{
		Batch: batch(), HiFileIds: []uint64{1}, LoFileIds: []uint64{2}, FileNames: []string{project + ".exe"}, BuildIds: []string{project},
	}
	host := &pb.ReportHostMetadataRequest{
		Batch: batch(), Timestamp: uint64(now.Unix()), Metadata: map[string]string{"colour": project}, //nolint:gosec // after 1970
	}
	var answers []any
	keep := func(answer any, err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatalf("%s: %v", project, err)
		}
		answers = append(answers, answer)
	}
	info := func() (any, error) { return c.GetServerInfo(ctx, &pb.GetServerInfoRequest{ProtocolVersion: 1}) }
	keep(info())
	for range 2 { // the second time is a duplicate
		keep(c.AddCountsForTraces(ctx, samples))
		keep(c.SetFramesForTraces(ctx, table))
		keep(c.AddFrameMetadata(ctx, symbols))
		keep(c.AddExecutableMetadata(ctx, executables))
		keep(c.ReportHostMetadata(ctx, host))
	}
	keep(c.AddFallbackSymbols(ctx, &pb.AddFallbackSymbolsRequest{
		Batch: batch(), HiFileIds: []uint64{7}, LoFileIds: []uint64{7}, Addresses: []uint64{1}, Symbols: []string{project},
	}))
	keep(c.AddMetrics(ctx, &pb.AddMetricsRequest{
		Batch: batch(), Timestamps: []uint32{uint32(now.Unix())}, Ids: []uint32{1}, Values: []int64{1}, //nolint:gosec // until 2106
	}))
	keep(c.ReportStatus(ctx, &pb.ReportStatusRequest{
		HostId: "h1", RunId: []byte("0123456789abcdef"), HostName: "host-" + project, Time: now.UnixNano(), StartTime: now.Add(-time.Hour).UnixNano(),
		AgentVersion: project + "-version", State: "connected", LastError: project + " error",
		Ledger:      &pb.Ledger{Captured: 5, Stored: 2, Dropped: map[string]uint64{project + "_reason": 3}},
		Limitations: []*pb.Limitation{{Name: project + "-limitation"}},
	}))
	return answers
}

// questions lists an URL for every endpoint, and more for those with names in them.
func questions(now time.Time) []string {
	window := url.Values{
		"from": {strconv.FormatInt(now.Add(-time.Minute).UnixMilli(), 10)}, "to": {strconv.FormatInt(now.Add(time.Minute).UnixMilli(), 10)},
	}.Encode()
	list := []string{"/api/v1/whoami", "/api/v1/tokens", "/api/v1/none", "/api/v1/top?query={", "/api/v1/flamegraph?group_by=service&" + window}
	function := url.Values{"function": {`{function*=""}`}}.Encode() + "&"
	for _, q := range []string{"sandwich?" + function, "lines?" + function, "diff?base_from=now-2m&base_to=now%2B1m&", "heatmap?by=value&", "tracks?by=service&", "series?labels=service,comm&", "totals?trace_id=" + strings.Repeat("07", 16) + "&", "exemplars?span_id=" + strings.Repeat("07", 8) + "&"} {
		list = append(list, "/api/v1/"+q+window)
	}
	rendered := url.Values{
		"query": {"process_cpu:cpu:nanoseconds:cpu:nanoseconds{}"}, "leftQuery": {"on_cpu{}"}, "rightQuery": {"on_cpu{}"}, "label": {"service_name"},
		"from": {strconv.FormatInt(now.Add(-time.Minute).UnixMilli(), 10)}, "until": {strconv.FormatInt(now.Add(time.Minute).UnixMilli(), 10)}, "groupBy": {"service_name"},
		"leftFrom": {strconv.FormatInt(now.Add(-time.Minute).UnixMilli(), 10)}, "rightUntil": {strconv.FormatInt(now.Add(time.Minute).UnixMilli(), 10)},
	}.Encode()
	for _, pattern := range pyroscope.Patterns() {
		if path, ok := strings.CutPrefix(pattern, "GET "); ok {
			list = append(list, path, path+"?"+rendered)
		}
	}
	for _, pattern := range api.Patterns() {
		if strings.HasPrefix(pattern, http.MethodDelete) {
			continue // no question
		}
		for _, name := range []string{"service", "process", "comm", "host", "host_id", "red.key", "blue.key"} {
			path := strings.ReplaceAll(pattern, "{name}", name)
			list = append(list, path, path+"?"+window)
			if path == pattern {
				break
			}
		}
	}
	return list
}

// lastMinute is the part of an answer that changes while nothing comes.
var lastMinute = regexp.MustCompile(`"last_minute":\{[^}]*\},?`)

// ask returns the answers to all questions, readable.
func (r *rig) ask(project string, now time.Time) map[string]string {
	r.t.Helper()
	answers := map[string]string{}
	for _, q := range questions(now) {
		resp, body := r.do(http.MethodGet, r.url+q, r.tokens[project+" admin"])
		if z, err := gzip.NewReader(strings.NewReader(body)); err == nil { // pprof
			b, err := io.ReadAll(z)
			if err != nil {
				r.t.Fatal(err)
			}
			body = string(b)
		}
		body = lastMinute.ReplaceAllString(body, "")
		answers[q] = fmt.Sprintln(resp.StatusCode, resp.Header.Get("Content-Disposition"), body)
	}
	for q, body := range calls(now) {
		path, _, _ := strings.Cut(q, " ")
		resp, answer := r.send(path, body, r.tokens[project+" admin"], "Content-Type", "application/json", "Connect-Protocol-Version", "1")
		answers[q] = fmt.Sprintln(resp.StatusCode, answer)
	}
	return answers
}

// calls lists bodies for every method of Pyroscope's service, by its path and what is special about it.
func calls(now time.Time) map[string]string {
	window := fmt.Sprintf(`"start":%d,"end":%d`, now.Add(-time.Minute).UnixMilli(), now.Add(time.Minute).UnixMilli())
	cpu := `"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds",` + window
	span := strings.Repeat("07", 8)
	list := map[string]string{}
	for _, pattern := range pyroscope.Patterns() {
		if path, ok := strings.CutPrefix(pattern, "POST "); ok {
			list[path] = "{" + cpu + `,"step":10}`
			list[path+" nothing"] = "{}"
			list[path+" broken"] = "{"
		}
	}
	const service = "/querier.v1.QuerierService/"
	for _, name := range []string{"service_name", "process", "comm", "host", "host_id", "red.key", "blue.key", "red_key", "blue_key", "__profile_type__"} {
		list[service+"LabelValues "+name] = `{"name":"` + name + `",` + window + `}`
	}
	list[service+"SelectMergeSpanProfile span"] = "{" + cpu + `,"spanSelector":["` + span + `"]}`
	list[service+"SelectMergeStacktraces trace"] = "{" + cpu + `,"traceIdSelector":["` + strings.Repeat("07", 16) + `"]}`
	list[service+"SelectMergeStacktraces pprof"] = "{" + cpu + `,"format":"PROFILE_FORMAT_PPROF"}`
	list[service+"SelectSeries by"] = "{" + cpu + `,"step":10,"groupBy":["service_name","blue_key","red_key"],"exemplarType":"EXEMPLAR_TYPE_INDIVIDUAL"}`
	list[service+"SelectSeries spans"] = "{" + cpu + `,"step":10,"exemplarType":"EXEMPLAR_TYPE_SPAN","aggregation":"TIME_SERIES_AGGREGATION_TYPE_AVERAGE"}`
	list[service+"SelectHeatmap spans"] = "{" + cpu + `,"step":10,"queryType":"HEATMAP_QUERY_TYPE_SPAN","exemplarType":"EXEMPLAR_TYPE_SPAN","groupBy":["process"]}`
	list[service+"SelectHeatmap profiles"] = "{" + cpu + `,"step":10,"exemplarType":"EXEMPLAR_TYPE_INDIVIDUAL"}`
	list[service+"Diff both"] = `{"left":{` + cpu + `},"right":{` + cpu + `}}`
	list[service+"AnalyzeQuery all"] = "{" + window + "}"
	return list
}

// TestIsolation compares what one project sees with and without another one
// that has the same hosts, hashes and IDs, in memory and in blocks.
func TestIsolation(t *testing.T) {
	t.Parallel()
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		testIsolation(t, func(*rig) {})
	})
	t.Run("blocks", func(t *testing.T) {
		t.Parallel()
		testIsolation(t, (*rig).seal)
	})
}

func testIsolation(t *testing.T, settle func(*rig)) {
	r := newRig(t)
	now := r.now
	toBlue := r.paint("blue", now)
	settle(r)
	before := r.ask("blue", now)
	toRed := r.paint("red", now)
	settle(r)
	after := r.ask("blue", now)

	// Red hears of nothing as known, whatever blue defined. It lacks no stack of
	// its own the second time, while blue still does.
	noAckTime := protocmp.IgnoreFields(&pb.Ack{}, "server_time")
	noTime := protocmp.IgnoreFields(&pb.GetServerInfoResponse{}, "server_time")
	noReportTime := protocmp.IgnoreFields(&pb.ReportStatusResponse{}, "server_time")
	if d := cmp.Diff([]uint32{0, 1}, toBlue[1].(*pb.AddCountsForTracesResponse).UnknownStacks); d != "" {
		t.Errorf("blue's unknown stacks (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]uint32{1}, toBlue[6].(*pb.AddCountsForTracesResponse).UnknownStacks); d != "" {
		t.Errorf("blue's unknown stacks the second time (-want +got):\n%s", d)
	}
	toBlue[6], toRed[6] = nil, nil
	if d := cmp.Diff(toBlue, toRed, protocmp.Transform(), noAckTime, noTime, noReportTime); d != "" {
		t.Errorf("answers to RPCs differ (-blue +red):\n%s", d)
	}
	again := r.paint("blue", now)
	if d := cmp.Diff([]uint32{1}, again[1].(*pb.AddCountsForTracesResponse).UnknownStacks); d != "" {
		t.Errorf("blue's unknown stacks after red defined them (-want +got):\n%s", d)
	}

	for q, answer := range r.ask("red", now) {
		if strings.Contains(answer, "blue") && !strings.Contains(q, "blue") {
			t.Errorf("red sees blue at %s: %s", q, answer)
		}
	}
	for q, answer := range after {
		// The time of last use is that of the project's own tokens.
		if q == "/api/v1/tokens" {
			if strings.Contains(answer, `"red"`) {
				t.Errorf("blue sees tokens of red: %s", answer)
			}
			continue
		}
		if d := cmp.Diff(before[q], answer); d != "" {
			t.Errorf("red changes what blue sees at %s (-before +after):\n%s", q, d)
		}
	}
	for _, want := range []string{"blue-service", "blue-process", "blue_leaf", "blue.exe", "blue.key", "host-blue", "blue-version", "blue error", "blue_reason", "blue-limitation", `"span_id":"0707070707070707"`, `"spanId":"0707070707070707"`, "blue_key"} {
		found := false
		for _, answer := range after {
			found = found || strings.Contains(answer, want)
		}
		if !found {
			t.Errorf("no answer has %s", want)
		}
	}

	// Choosing another project is only for tokens of all projects.
	for _, ask := range [][]string{{"?project=red"}, {"", "Strobe-Project", "red"}, {"?project=none"}} {
		resp, body := r.do(http.MethodGet, r.url+"/api/v1/folded"+ask[0], r.tokens["blue admin"], ask[1:]...)
		if resp.StatusCode != http.StatusForbidden || strings.Contains(body, "red") {
			t.Errorf("%v: %d %s", ask, resp.StatusCode, body)
		}
		resp, body = r.do(http.MethodGet, r.url+"/api/v1/folded"+ask[0], r.tokens["* query"], ask[1:]...)
		if resp.StatusCode != http.StatusOK || strings.Contains(body, "blue") {
			t.Errorf("%v with a token of all projects: %d %s", ask, resp.StatusCode, body)
		}
	}
	// Clients of Pyroscope choose with a header of their own, which is nothing to a token of one project.
	const render = "/pyroscope/render?query=on_cpu"
	for token, want := range map[string]string{"* query": "red_leaf", "blue admin": "blue_leaf"} {
		if _, body := r.do(http.MethodGet, r.url+render, r.tokens[token], "X-Scope-OrgID", "red"); !strings.Contains(body, want) {
			t.Errorf("with X-Scope-OrgID and the token %s: %s", token, body)
		}
	}
	if _, body := r.do(http.MethodGet, r.url+render, r.tokens["* query"], "X-Scope-OrgID", "red", "Strobe-Project", "blue"); !strings.Contains(body, "blue_leaf") {
		t.Errorf("Strobe-Project does not go before X-Scope-OrgID: %s", body)
	}
	if resp, body := r.do(http.MethodGet, r.url+render, r.tokens["* query"], "X-Scope-OrgID", "red|blue"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("with two projects in X-Scope-OrgID: %d %s", resp.StatusCode, body)
	}
	if _, body := r.do(http.MethodGet, r.url+"/api/v1/folded?type=on_cpu", r.tokens["* query"], "X-Scope-OrgID", "red"); strings.Contains(body, "red_leaf") {
		t.Errorf("X-Scope-OrgID chooses where no client of Pyroscope asks: %s", body)
	}
	if _, body := r.do(http.MethodGet, r.url+"/api/v1/folded?project=red&type=on_cpu", r.tokens["* query"]); !strings.Contains(body, "red_leaf") {
		t.Errorf("a token of all projects does not see red: %s", body)
	}
	// Nothing of a request gets lost with the choice.
	if resp, body := r.do(http.MethodGet, r.url+"/api/v1/folded?project=red&query=%zz", r.tokens["* query"]); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a query that is not URL-encoded: %d %s", resp.StatusCode, body)
	}
	if _, body := r.do(http.MethodGet, r.url+"/api/v1/status?project=red", r.tokens["* query"]); !strings.Contains(body, `"store"`) {
		t.Errorf("a token of all projects does not see the store: %s", body)
	}
	if _, body := r.do(http.MethodGet, r.url+"/api/v1/status", r.tokens["red admin"]); strings.Contains(body, `"store"`) ||
		strings.Contains(body, `"memory"`) || strings.Contains(body, `"queries"`) {
		t.Errorf("a token of a project sees the store: %s", body)
	}
}

// TestIsolatedDeletion deletes one project of two that have the same hosts, hashes and
// IDs, and all that it has comes back when its agents send again.
func TestIsolatedDeletion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	now := r.now
	r.paint("blue", now)
	blue := r.ask("blue", now)
	r.paint("red", now)
	red := r.ask("red", now)
	for _, role := range []string{"query", "ingest"} {
		if resp, body := r.do(http.MethodDelete, r.url+"/api/v1/data?everything=true", r.tokens["red "+role]); resp.StatusCode != http.StatusForbidden {
			t.Errorf("with the role %s: %d %s", role, resp.StatusCode, body)
		}
	}
	if resp, body := r.do(http.MethodDelete, r.url+"/api/v1/data?everything=true&project=blue", r.tokens["red admin"]); resp.StatusCode != http.StatusForbidden {
		t.Errorf("of another project: %d %s", resp.StatusCode, body)
	}
	resp, body := r.do(http.MethodDelete, r.url+"/api/v1/data?everything=true", r.tokens["red admin"])
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"project":"red"`) {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	sameStored := func(what string, before, after map[string]string) {
		t.Helper()
		for q, want := range before {
			if got := after[q]; got != want && !strings.Contains(q, "tokens") && !strings.Contains(q, "status") && !strings.Contains(q, "ledger") && !strings.Contains(q, "hosts") {
				t.Errorf("%s: %s:\n%s\nwas:\n%s", what, q, got, want)
			}
		}
	}
	sameStored("other project", blue, r.ask("blue", now))
	for q, text := range r.ask("red", now) {
		if strings.Contains(q, "folded") && strings.Contains(text, "red_leaf") {
			t.Errorf("%s still answers %s", q, text)
		}
	}
	r.paint("red", now) // no batch is taken for a repeat
	sameStored("sent again", red, r.ask("red", now))
}

// TestDeletionByAnotherSite has a browser that is logged in as admin visit pages of others
// that ask for a deletion.
func TestDeletionByAnotherSite(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.paint("red", time.Now())
	form := url.Values{"token": {r.tokens["red admin"]}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("login: %d, %d cookies", resp.StatusCode, len(resp.Cookies()))
	}
	cookie := resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"Sec-Fetch-Site", "same-site", http.StatusForbidden},
		{"Origin", "https://evil.example", http.StatusForbidden},
		{"Origin", "null", http.StatusForbidden},
		{"Sec-Fetch-Site", "same-origin", http.StatusOK},
	} {
		resp, body := r.do(http.MethodDelete, r.url+"/api/v1/data?everything=true", "", "Cookie", cookie, c.header, c.value)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d %s", c.header, c.value, resp.StatusCode, body)
		}
		if c.status == http.StatusForbidden && !strings.Contains(body, "another site") {
			t.Errorf("%s %s: %s", c.header, c.value, body)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestRender asks the older endpoints.
func TestRender(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const id = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
	f := func(path string, parameters url.Values, want string) {
		t.Helper()
		w := r.get(path + "?" + parameters.Encode())
		if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != want {
			t.Errorf("%s %v: %d\n%s\nwant\n%s", path, parameters, w.Code, got, want)
		}
	}
	times := func(more ...string) url.Values {
		v := url.Values{"from": {"1795255200"}, "until": {"1795255203"}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	none := `{"version":1,"flamebearer":{"names":["total"],"levels":[[0,0,0,0]],"numTicks":0,"maxSelf":0},` +
		`"metadata":{"format":"single","spyName":"","sampleRate":1000000000,"units":"samples","name":"cpu"},` +
		`"timeline":{"startTime":1795255200,"samples":[0,0,0],"durationDelta":1,"watermarks":null},"groups":null,"heatmap":null}`
	f("/pyroscope/render", times("query", id), none)
	f("/pyroscope/render", times("query", id+"{}", "format", "json", "name", "ignored"), none)
	f("/pyroscope/render", times("query", `{__name__="`+id+`"}`), none)
	f("/pyroscope/render", times("query", `{__profile_type__="`+id+`"}`, "max-nodes", "0"), none)
	f("/pyroscope/render", times("query", id+`{service_name="shop"}`, "until", "1795255207", "groupBy", "service_name"),
		`{"version":1,"flamebearer":{"names":["total","main","work","read"],"levels":[[0,40,0,0],[0,40,0,1],[0,40,10,2],[10,30,30,3]],"numTicks":40,"maxSelf":30},`+
			`"metadata":{"format":"single","spyName":"","sampleRate":1000000000,"units":"samples","name":"cpu"},`+
			`"timeline":{"startTime":1795255200,"samples":[0,0,0,0,0,30,10],"durationDelta":1,"watermarks":null},`+
			`"groups":{"shop":{"startTime":1795255200,"samples":[0,0,0,0,0,30,10],"durationDelta":1,"watermarks":null}},"heatmap":null}`)
	f("/pyroscope/render", times("query", `memory:inuse_space:bytes:space:bytes{}`, "from", "now-1m", "until", "now-54s", "maxNodes", "1", "aggregation", "avg"),
		`{"version":1,"flamebearer":{"names":["total"],"levels":[[0,100,100,0]],"numTicks":100,"maxSelf":100},`+
			`"metadata":{"format":"single","spyName":"","sampleRate":100,"units":"bytes","name":"inuse_space"},`+
			`"timeline":{"startTime":1795255200,"samples":[100,0,0,0,0,0],"durationDelta":1,"watermarks":null},"groups":null,"heatmap":null}`)
	f("/pyroscope/render-diff", url.Values{
		"leftQuery": {id + `{service_name="shop"}`}, "leftFrom": {"1795255200"}, "leftUntil": {"1795255210"},
		"rightQuery": {id + `{service_name="shop"}`}, "rightFrom": {"1795255210"}, "rightUntil": {"1795255260"},
	}, `{"version":1,"flamebearer":{"names":["total","main","work","read"],"levels":[[0,40,0,0,25,0,0],[0,40,0,0,25,0,1],[0,40,10,0,25,5,2],[10,30,30,5,20,20,3]],"numTicks":65,"maxSelf":30},`+
		`"metadata":{"format":"double","spyName":"","sampleRate":1000000000,"units":"samples","name":"cpu"},"timeline":null,"groups":null,"heatmap":null,"leftTicks":40,"rightTicks":25}`)
	f("/pyroscope/label-values", url.Values{"label": {"service_name"}}, `["cron","shop"]`)
	f("/pyroscope/label-values", url.Values{"label": {"__name__"}}, `["memory:inuse_space:bytes:space:bytes","off_cpu:off_cpu:nanoseconds::","`+id+`"]`)
	f("/pyroscope/label-values", url.Values{"label": {"none"}}, `[]`)
}

// TestBadRender asks them for what has no answer.
func TestBadRender(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for target, want := range map[string]string{
		"/pyroscope/render":                                          "query: expected a profile type and a selector",
		"/pyroscope/render?query=%zz":                                "not URL-encoded",
		"/pyroscope/render?query=a:b":                                `query: "a:b" is no profile type`,
		"/pyroscope/render?query={a":                                 "query: found the end",
		"/pyroscope/render?query={}":                                 "query: names no profile type",
		"/pyroscope/render?query=on_cpu{":                            "query: found the end",
		"/pyroscope/render-diff?leftQuery=on_cpu&rightQuery=on_cpu{": "rightQuery: found the end",
		"/pyroscope/render-diff?leftQuery=on_cpu&rightQuery=on_cpu&rightFrom=now%2B1h":  "rightFrom: is not before rightUntil",
		"/pyroscope/render-diff?leftQuery=on_cpu&rightQuery=on_cpu&max-nodes=123456789": "max-nodes: expected",
		"/pyroscope/render?query=on_cpu&from=now-1h&groupBy=":                           "groupBy: expected the name",
		"/pyroscope/render?query=on_cpu&from=x":                                         "from: not a time",
		"/pyroscope/render?query=on_cpu&until=x":                                        "until: not a time",
		"/pyroscope/render?query=on_cpu&from=now":                                       "from: is not before until",
		"/pyroscope/render?query=on_cpu&max-nodes=x":                                    "max-nodes: expected a whole number",
		"/pyroscope/render?query=on_cpu&maxNodes=-1":                                    "max-nodes: expected",
		"/pyroscope/render?query=on_cpu&aggregation=max":                                "aggregation: expected sum or avg",
		"/pyroscope/render?query=on_cpu&groupBy=a&groupBy":                              "groupBy: given more than once",
		"/pyroscope/render-diff?leftQuery=on_cpu":                                       "rightQuery: expected",
		"/pyroscope/render-diff?leftQuery=on_cpu&rightQuery=wall":                       "rightQuery: is not that of the left",
		"/pyroscope/label-values":                                                       "label: expected",
	} {
		checkError(t, r.get(target), 400, "invalid_argument", want)
	}
	checkError(t, r.get("/pyroscope/render?query=on_cpu&format=dot"), 501, "unimplemented", `"dot" is not made here`)
}

// SPDX-License-Identifier: Apache-2.0

package pyroscope_test

import (
	"net/http"
	"strings"
	"testing"
)

// minute is the range of the samples in questions, and cpu their type with it.
const (
	minute = `"start":1795255200000,"end":1795255260000`
	cpu    = `"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds",` + minute
)

// TestAnswers asks questions whose answers can be found by hand.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const (
		nothing = `{"flamegraph":{"names":["total"],"levels":[{"values":["0","0","0","0"]}]}}`
		shop    = `"labelSelector":"{service_name=\"shop\"}"`
		ofShop  = `{"flamegraph":{"names":["total","main","work","read"],"levels":[{"values":["0","65","0","0"]},{"values":["0","65","0","1"]},` +
			`{"values":["0","65","15","2"]},{"values":["15","50","50","3"]}],"total":"65","maxSelf":"50"}}`
		inuse = `"profileTypeID":"memory:inuse_space:bytes:space:bytes",` + minute
	)
	for name, c := range map[string]struct{ method, question, want string }{
		"types": {"ProfileTypes", "{" + minute + "}", `{"profileTypes":[` +
			`{"ID":"memory:inuse_space:bytes:space:bytes","name":"memory","sampleType":"inuse_space","sampleUnit":"bytes","periodType":"space","periodUnit":"bytes"},` +
			`{"ID":"off_cpu:off_cpu:nanoseconds::","name":"off_cpu","sampleType":"off_cpu","sampleUnit":"nanoseconds"},` +
			`{"ID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds","name":"process_cpu","sampleType":"cpu","sampleUnit":"nanoseconds","periodType":"cpu","periodUnit":"nanoseconds"}]}`},
		"types without a range": {"ProfileTypes", "{}", `*"ID":"off_cpu:off_cpu:nanoseconds::"`},
		"types of another time": {"ProfileTypes", `{"start":1,"end":2}`, "{}"},
		"names": {"LabelNames", "{" + minute + "}", `{"names":["__name__","__period_type__","__period_unit__","__profile_type__","__type__","__unit__",` +
			`"app_kubernetes_io_name","comm","host","host_id","pid","pod","process","region_code","service_name","tid"]}`},
		"names of a service": {"LabelNames", `{"matchers":["{service_name=\"cron\"}"],` + minute + "}", `{"names":["__name__","__period_type__","__period_unit__",` +
			`"__profile_type__","__type__","__unit__","comm","host","host_id","pid","process","service_name","tid"]}`},
		"names of nothing":   {"LabelNames", `{"matchers":["{service_name=\"none\"}"],` + minute + "}", "{}"},
		"values":             {"LabelValues", `{"name":"service_name",` + minute + "}", `{"names":["cron","shop"]}`},
		"values by our name": {"LabelValues", `{"name":"service",` + minute + "}", `{"names":["cron","shop"]}`},
		"values of a type":   {"LabelValues", `{"name":"service_name","matchers":["{__profile_type__=\"off_cpu:off_cpu:nanoseconds::\"}"],` + minute + "}", `{"names":["shop"]}`},
		"values of either":   {"LabelValues", `{"name":"process","matchers":["{process=\"sh\"}","{pid=\"7\"}"],` + minute + "}", `{"names":["app","sh"]}`},
		"types of a service": {"LabelValues", `{"name":"__profile_type__","matchers":["{service_name=\"cron\"}"],` + minute + "}", `{"names":["process_cpu:cpu:nanoseconds:cpu:nanoseconds"]}`},
		"units":              {"LabelValues", `{"name":"__unit__",` + minute + "}", `{"names":["bytes","nanoseconds"]}`},
		"a plain name":       {"LabelValues", `{"name":"app_kubernetes_io_name",` + minute + "}", `{"names":["shop"]}`},
		"a name as it is":    {"LabelValues", `{"name":"app.kubernetes.io/name",` + minute + "}", `{"names":["shop"]}`},
		"an unknown name":    {"LabelValues", `{"name":"no_such",` + minute + "}", `{}`},
		"series": {"Series", `{"labelNames":["service_name","__type__"],` + minute + "}", `{"labelsSet":[` +
			`{"labels":[{"name":"__type__","value":"cpu"},{"name":"service_name","value":"cron"}]},{"labels":[{"name":"__type__","value":"cpu"},{"name":"service_name","value":"shop"}]},` +
			`{"labels":[{"name":"__type__","value":"inuse_space"},{"name":"service_name","value":"shop"}]},{"labels":[{"name":"__type__","value":"off_cpu"},{"name":"service_name","value":"shop"}]}]}`},
		"series of types": {"Series", `{"labelNames":["__unit__"],"matchers":["{service_name=\"shop\"}"],` + minute + "}",
			`{"labelsSet":[{"labels":[{"name":"__unit__","value":"bytes"}]},{"labels":[{"name":"__unit__","value":"nanoseconds"}]}]}`},
		"series of all labels": {"Series", `{"matchers":["{pid=\"9\"}"],` + minute + "}", `{"labelsSet":[{"labels":[{"name":"__name__","value":"process_cpu"},` +
			`{"name":"__period_type__","value":"cpu"},{"name":"__period_unit__","value":"nanoseconds"},{"name":"__profile_type__","value":"process_cpu:cpu:nanoseconds:cpu:nanoseconds"},` +
			`{"name":"__type__","value":"cpu"},{"name":"__unit__","value":"nanoseconds"},{"name":"comm","value":"sh"},{"name":"host","value":"node-1"},{"name":"host_id","value":"42"},` +
			`{"name":"pid","value":"9"},{"name":"process","value":"sh"},{"name":"service_name","value":"cron"},{"name":"tid","value":"9"}]}]}`},

		// Two functions work, of different files, are one; what work has itself stands before read.
		"all stacks": {"SelectMergeStacktraces", "{" + cpu + "}", `{"flamegraph":{"names":["total","cron","sleep","main","work","read"],"levels":[{"values":["0","105","0","0"]},` +
			`{"values":["0","40","0","1","0","65","0","3"]},{"values":["0","40","40","2","0","65","15","4"]},{"values":["55","50","50","5"]}],"total":"105","maxSelf":"50"}}`},
		"stacks of a service":  {"SelectMergeStacktraces", "{" + cpu + "," + shop + "}", ofShop},
		"by its plain label":   {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{app_kubernetes_io_name=~\"sh.*\", __name__=\"process_cpu\"}"}`, ofShop},
		"by its label":         {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{\"app.kubernetes.io/name\"=\"shop\"}"}`, ofShop},
		"of another type":      {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{__unit__!=\"nanoseconds\"}"}`, nothing},
		"stacks of nothing":    {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{service_name=\"none\"}"}`, nothing},
		"by another ID":        {"SelectMergeStacktraces", `{"profileTypeID":"heap:inuse_space:bytes:cpu:nanoseconds",` + minute + "}", `*"total":"600"`},
		"a call site":          {"SelectMergeStacktraces", "{" + cpu + `,"stackTraceSelector":{"callSite":[{"name":"total"},{"name":"main"},{"name":"work"}]}}`, ofShop},
		"another call site":    {"SelectMergeStacktraces", "{" + cpu + `,"stackTraceSelector":{"callSite":[{"name":"work"}]}}`, nothing},
		"few nodes":            {"SelectMergeStacktraces", "{" + cpu + `,"maxNodes":"4"}`, `*"names":["total","other","main"],"levels":[{"values":["0","105","0","0"]},{"values":["0","65","0","2","0","40","40","1"]}`},
		"a trace":              {"SelectMergeStacktraces", "{" + cpu + `,"traceIdSelector":["` + shopTrace + `"]}`, `*"total":"55"`},
		"a span of stacks":     {"SelectMergeStacktraces", "{" + cpu + `,"spanSelector":["` + shopSpan + `"]}`, `*"total":"35"`},
		"a span":               {"SelectMergeSpanProfile", "{" + cpu + `,"spanSelector":["` + shopSpan + `"]}`, `*"total":"35"`},
		"as pprof":             {"SelectMergeStacktraces", "{" + cpu + `,"format":"PROFILE_FORMAT_PPROF"}`, `*{"pprof":{"profile":{"sampleType":[`},
		"pprof":                {"SelectMergeProfile", "{" + cpu + "," + shop + `,"maxNodes":"1"}`, `*"work"`},
		"a profile":            {"SelectMergeStacktraces", "{" + cpu + `,"profileIdSelector":["` + shopProfile + `"]}`, `*"total":"40"`},
		"a profile of another": {"SelectMergeStacktraces", "{" + cpu + `,"labelSelector":"{service_name=\"cron\"}","profileIdSelector":["` + shopProfile + `"]}`, nothing},
		"a profile twice":      {"SelectMergeStacktraces", "{" + cpu + `,"profileIdSelector":["` + shopProfile + `","` + strings.ToUpper(shopProfile) + `"]}`, `*"total":"40"`},

		"over time": {"SelectSeries", "{" + cpu + `,"step":15}`,
			`{"series":[{"points":[{"value":80,"timestamp":"1795255215000"},{"value":5,"timestamp":"1795255230000"},{"value":20,"timestamp":"1795255245000"}]}]}`},
		"by service": {"SelectSeries", "{" + cpu + `,"step":60,"groupBy":["service_name","__type__"]}`, `{"series":[` +
			`{"labels":[{"name":"__type__","value":"cpu"},{"name":"service_name","value":"cron"}],"points":[{"value":40,"timestamp":"1795255260000"}]},` +
			`{"labels":[{"name":"__type__","value":"cpu"},{"name":"service_name","value":"shop"}],"points":[{"value":65,"timestamp":"1795255260000"}]}]}`},
		"the largest":       {"SelectSeries", "{" + cpu + `,"step":60,"groupBy":["service_name"],"limit":"1"}`, `{"series":[{"labels":[{"name":"service_name","value":"shop"}],"points":[{"value":65,"timestamp":"1795255260000"}]}]}`},
		"by a plain label":  {"SelectSeries", "{" + cpu + `,"step":60,"groupBy":["app_kubernetes_io_name"],` + shop + "}", `*"labels":[{"name":"app_kubernetes_io_name","value":"shop"}]`},
		"under a call site": {"SelectSeries", "{" + cpu + `,"step":60,"stackTraceSelector":{"callSite":[{"name":"cron"}]}}`, `{"series":[{"points":[{"value":40,"timestamp":"1795255260000"}]}]}`},
		// The shop's process uses 40 and 5 ns in windows of 10 s of the first half, 20 in one of the second.
		"averages": {"SelectSeries", "{" + cpu + `,"step":30,"aggregation":"TIME_SERIES_AGGREGATION_TYPE_AVERAGE",` + shop + "}",
			`{"series":[{"points":[{"value":22.5,"timestamp":"1795255230000"},{"value":20,"timestamp":"1795255260000"}]}]}`},
		"an average from the middle of a profile": {"SelectSeries", `{"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds","start":1795255206000,"end":1795255260000,` +
			`"step":3,"aggregation":1,` + shop + "}", `{"series":[{"points":[{"value":10,"timestamp":"1795255209000"},{"value":5,"timestamp":"1795255212000"},{"value":20,"timestamp":"1795255233000"}]}]}`},
		"average of a level": {"SelectSeries", "{" + inuse + `,"step":60,"aggregation":"TIME_SERIES_AGGREGATION_TYPE_AVERAGE"}`, `{"series":[{"points":[{"value":200,"timestamp":"1795255260000"}]}]}`},
		"average under a call site": {"SelectSeries", "{" + inuse + `,"step":60,"aggregation":"TIME_SERIES_AGGREGATION_TYPE_AVERAGE","stackTraceSelector":{"callSite":[{"name":"main"}]}}`,
			`{"series":[{"points":[{"value":200,"timestamp":"1795255260000"}]}]}`},
		"with profiles": {"SelectSeries", "{" + cpu + `,"step":60,"groupBy":["service_name"],"exemplarType":"EXEMPLAR_TYPE_INDIVIDUAL",` + shop + "}", `{"series":[{"labels":[{"name":"service_name","value":"shop"}],` +
			`"points":[{"value":65,"timestamp":"1795255260000","exemplars":[{"timestamp":"1795255200000","profileId":"` + shopProfile + `","value":"40","labels":[{"name":"host","value":"node-1"},` +
			`{"name":"host_id","value":"42"},{"name":"pid","value":"7"},{"name":"pod","value":"shop-1"},{"name":"process","value":"app"}]}]}]}]}`},
		"with spans": {"SelectSeries", "{" + cpu + `,"step":60,"exemplarType":"EXEMPLAR_TYPE_SPAN"}`, `*"exemplars":[{"timestamp":"1795255205000","spanId":"` + shopSpan + `","value":"35",`},

		"heatmap of profiles": {"SelectHeatmap", "{" + cpu + `,"step":30,"exemplarType":"EXEMPLAR_TYPE_INDIVIDUAL"}`, `*"counts":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2]`},
		"heatmap of spans":    {"SelectHeatmap", "{" + cpu + `,"step":60,"queryType":"HEATMAP_QUERY_TYPE_SPAN","exemplarType":"EXEMPLAR_TYPE_SPAN","groupBy":["service_name"]}`, `*"spanId":"` + shopSpan + `","value":"35"`},
		"heatmap of nothing":  {"SelectHeatmap", "{" + cpu + `,"step":30,"labelSelector":"{pid=\"0\"}"}`, `{}`},
		"the first half and the second": {"Diff", `{"left":{"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds","start":1795255200000,"end":1795255230000},` +
			`"right":{"profileTypeID":"process_cpu:cpu:nanoseconds:cpu:nanoseconds","start":1795255230000,"end":1795255260000}}`,
			`{"flamegraph":{"names":["total","cron","sleep","main","work","read"],"levels":[{"values":["0","85","0","0","20","0","0"]},{"values":["0","40","0","0","0","0","1","0","45","0","0","20","0","3"]},` +
				`{"values":["0","40","40","0","0","0","2","0","45","15","0","20","0","4"]},{"values":["55","30","30","0","20","20","5"]}],"total":"105","maxSelf":"40","leftTicks":"85","rightTicks":"20"}}`},
		"with nothing": {"Diff", `{"left":{` + cpu + `,"labelSelector":"{__unit__=\"bytes\"}"},"right":{` + cpu + `}}`, `*"total":"105","maxSelf":"50","rightTicks":"105"}`},
		"stats":        {"GetProfileStats", "{}", `{"dataIngested":true,"oldestProfileTime":"1795255205000","newestProfileTime":"1795255231001"}`},
		"analysis":     {"AnalyzeQuery", `{"query":"process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name=\"shop\"}",` + minute + "}", `{"queryScopes":[{"componentType":"store","componentCount":"1","seriesCount":"1","sampleCount":"4"}],"queryImpact":{"totalQueriedSeries":"1"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRig(t).call(c.method, c.question)
			got := strings.TrimSpace(w.Body.String())
			part, isPart := strings.CutPrefix(c.want, "*")
			if w.Code != http.StatusOK || (isPart && !strings.Contains(got, part)) || (!isPart && got != c.want) {
				t.Errorf("%d\n%s\nwant\n%s", w.Code, got, c.want)
			}
		})
	}
}

// shopProfile is the ID of what the shop's process used in the first ten seconds.
const shopProfile = "006b016b-a020-b94f-7a66-980ee8ec3711"

// TestNames asks a client's question that takes labels with any name.
func TestNames(t *testing.T) {
	t.Parallel()
	w := newRig(t).call("LabelNames", "{"+minute+"}", "Accept", "*/*; allow-utf8-labelnames=true")
	if !strings.Contains(w.Body.String(), `"app.kubernetes.io/name"`) || strings.Contains(w.Body.String(), "app_kubernetes") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

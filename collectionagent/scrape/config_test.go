// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const wholeConfig = `
global:
  scrape_interval: 30s
  scrape_timeout: 5s
  body_size_limit: 4MB
  target_limit: 100
scrape_configs:
  - job_name: shop
    project: sales
    scrape_interval: 1m
    scheme: https
    params: {debug: ["0"], tenant: [a, b]}
    follow_redirects: false
    body_size_limit: 512KiB
    profiling_config:
      path_prefix: /internal
      pprof_config:
        process_cpu: {seconds: 10}
        memory: {path: /debug/pprof/heap, delta: false}
        mutex: {enabled: false}
        block: {enabled: false}
        goroutine: {enabled: false}
        queue: {path: /debug/pprof/queue, delta: true, keep_sample_type: [{type: items, unit: count}]}
    basic_auth: {username: strobe, password_file: secret}
    tls_config: {ca_file: ca.pem, server_name: shop.example, min_version: TLS12, insecure_skip_verify: true}
    static_configs:
      - targets: ["shop-1:6060", "[::1]:6060"]
        labels: {env: prod, service_name: cart}
    file_sd_configs:
      - files: [targets/*.json, /etc/more.yml]
        refresh_interval: 1m
    relabel_configs:
      - source_labels: [__address__]
        regex: (.*):\d+
        target_label: host.name
  - job_name: other
    authorization: {credentials: hunter2}
`

func TestConfig(t *testing.T) {
	t.Parallel()
	c, err := readConfig("/etc/strobe/scrape.yaml", []byte(wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	shop, other := c.jobs[0], c.jobs[1]
	type summary struct {
		Name, Project     string
		Interval, Timeout time.Duration
		BodyLimit         int64
		TargetLimit       int
		Query, Prefix     string
		Profiles          []string
		Client            string
		Groups, Files     string
		Rules             int
	}
	sum := func(j *job) summary {
		s := summary{
			Name: j.name, Project: j.project, Interval: j.interval, Timeout: j.timeout, BodyLimit: j.bodyLimit, TargetLimit: j.targetLimit,
			Query: j.params.Encode(), Prefix: j.pathPrefix, Client: fmt.Sprint(j.client), Groups: fmt.Sprint(j.groups), Files: fmt.Sprint(j.files),
			Rules: len(j.rules),
		}
		for _, p := range j.profiles {
			s.Profiles = append(s.Profiles, fmt.Sprintf("%s %s %d %t %q", p.name, p.path, p.seconds, p.delta, p.keep))
		}
		return s
	}
	want := summary{
		Name: "shop", Project: "sales", Interval: time.Minute, Timeout: 5 * time.Second, BodyLimit: 512 << 10, TargetLimit: 100,
		Query: "debug=0&tenant=a&tenant=b", Prefix: "/internal",
		Profiles: []string{
			`memory /debug/pprof/heap 0 false ""`,
			`process_cpu /debug/pprof/profile 10 true ""`,
			`queue /debug/pprof/queue 0 true "items/count\n"`,
		},
		Client: "{true strobe  /etc/strobe/secret    {/etc/strobe/ca.pem   shop.example TLS12 true} false}",
		Groups: "[{[shop-1:6060 [::1]:6060] map[env:prod service_name:cart]}]",
		Files:  "[{[/etc/strobe/targets/*.json /etc/more.yml] 60000000000}]",
		Rules:  1,
	}
	want.Profiles[1] = `process_cpu /debug/pprof/profile 10 false ""`
	if d := cmp.Diff(want, sum(shop)); d != "" {
		t.Errorf("shop (-want +got):\n%s", d)
	}
	want = summary{
		Name: "other", Project: "default", Interval: 30 * time.Second, Timeout: 5 * time.Second, BodyLimit: 4 << 20, TargetLimit: 100,
		Profiles: []string{
			`block /debug/pprof/block 0 true ""`,
			`goroutine /debug/pprof/goroutine 0 false ""`,
			`memory /debug/pprof/allocs 0 true ""`,
			`mutex /debug/pprof/mutex 0 true ""`,
			`process_cpu /debug/pprof/profile 29 false ""`,
		},
		Client: "{false    Bearer hunter2  {     false} true}", Groups: "[]", Files: "[]",
	}
	if d := cmp.Diff(want, sum(other)); d != "" {
		t.Errorf("other (-want +got):\n%s", d)
	}
}

func TestGoodConfigs(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":           "",
		"only comments":   "# nothing yet\n",
		"no jobs":         "scrape_configs:\n",
		"null everywhere": "global:\nscrape_configs:\n- job_name: a\n  relabel_configs:\n  tls_config:\n  static_configs:\n",
		"JSON":            `{"scrape_configs": [{"job_name": "a", "static_configs": [{"targets": ["x:1"]}]}]}`,
		"anchors":         "scrape_configs:\n- {job_name: a, tls_config: &t {insecure_skip_verify: true}}\n- {job_name: b, tls_config: *t}\n",
		"own profile":     "scrape_configs: [{job_name: a, profiling_config: {pprof_config: {mine: {path: /x}}}}]",
		"as Parca has it": "scrape_configs: [{job_name: a, scrape_interval: 10s, scrape_timeout: 13s, profiling_config: {pprof_config: {process_cpu: {enabled: true, delta: true, path: /debug/pprof/profile}, fgprof: {enabled: true, path: /debug/fgprof}}}}]",
	} {
		if _, err := readConfig("c.yaml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadConfigs checks that errors name file, line and field, and no secret.
func TestBadConfigs(t *testing.T) {
	t.Parallel()
	job := func(field string) string { return "scrape_configs:\n- job_name: a\n  " + field + "\n" }
	for _, c := range []struct{ text, want string }{
		{"scrape_configs: [", "c.yaml:1: "},
		{"a: b\n---\nc: d\n", "c.yaml:2: more than one YAML document"},
		{"[]", "c.yaml:1: expected fields, name: value"},
		{"scrape_config: []", "c.yaml:1: scrape_config: unknown field, known are global, scrape_configs"},
		{"scrape_configs: {}", "c.yaml:1: scrape_configs: expected a list"},
		{"scrape_configs:\n-\n", "c.yaml:2: scrape_configs[0]: is empty"},
		{"scrape_configs:\n- scheme: http\n", "c.yaml:2: scrape_configs[0]: job_name is missing"},
		{"scrape_configs:\n- job_name: a\n- job_name: a\n", "c.yaml:3: scrape_configs[1]: job_name: a is there twice"},
		{job("job_name: b"), "c.yaml:3: scrape_configs[0].job_name: is there twice"},
		{job("<<: {scheme: http}"), "c.yaml:3: scrape_configs[0].<<: merge keys are not supported"},
		{job("scrape_interval: 5"), `c.yaml:3: scrape_configs[0].scrape_interval: is "5", must be a time such as 15s or 1m30s, from 1s to 24h0m0s`},
		{job("scrape_interval: 10ms"), "scrape_interval: is \"10ms\""},
		{job("scrape_timeout: 0s"), "scrape_timeout: is \"0s\""},
		{job("scheme: ftp"), `c.yaml:3: scrape_configs[0].scheme: is "ftp", must be http or https`},
		{job("project: A/b"), "scrape_configs[0].project: \"A/b\" is not the name of a project"},
		{job("body_size_limit: 10"), `c.yaml:3: scrape_configs[0].body_size_limit: "10" is not a size such as 4MB`},
		{job("target_limit: -1"), "scrape_configs[0].target_limit: is \"-1\""},
		{job("follow_redirects: yes please"), `"yes please" is neither true nor false`},
		{job("params: {a: b}"), "scrape_configs[0].params.a: expected a list"},
		{job("static_configs: [{targets: [http://x:1]}]"), "scrape_configs[0].static_configs[0].targets[0]: must be host:port"},
		{job("static_configs: [{targets: [root:hunter2@x]}]"), "scrape_configs[0].static_configs[0].targets[0]: must be host:port, without scheme, path and password"},
		{job("static_configs: [{targets: [x:99999]}]"), "with a port from 1 to 65535"},
		{job("static_configs: [{targets: ['']}]"), "targets[0]: must be host:port"},
		{job("static_configs: [{labels: {a b: c}}]"), `scrape_configs[0].static_configs[0].labels."a b": is not the name of a label`},
		{job("file_sd_configs: [{files: [x.txt]}]"), "scrape_configs[0].file_sd_configs[0].files[0]: must be a path that ends in"},
		{job("file_sd_configs: [{files: ['*/x.json']}]"), "scrape_configs[0].file_sd_configs[0].files[0]: must be"},
		{job("file_sd_configs: [{files: ['[.json']}]"), "scrape_configs[0].file_sd_configs[0].files[0]: must be"},
		{job("file_sd_configs: [{refresh_interval: 1m}]"), "scrape_configs[0].file_sd_configs[0]: files is missing"},
		{job("profiling_config: {path_prefix: x}"), "profiling_config.path_prefix: must be a path that begins with /"},
		{job("profiling_config: {pprof_config: {memory: {path: '/a?b=c'}}}"), "pprof_config.memory.path: must be a path"},
		{job("profiling_config: {pprof_config: {mine: {}}}"), "pprof_config.mine: path is missing, which a profile needs that is none of block, "},
		{job("profiling_config: {pprof_config: {'a b': {path: /x}}}"), "the name of a profile is of letters"},
		{job("profiling_config: {pprof_config: {process_cpu: {seconds: 15}}}"), "seconds: is 15, must be less than scrape_interval, which is 15s"},
		{job("profiling_config: {pprof_config: {memory: {delta: 1}}}"), `pprof_config.memory.delta: "1" is neither true nor false`},
		{job("basic_auth: {password: hunter2, password_file: x}"), "password and password_file exclude each other"},
		{job("basic_auth: {root:hunter2}"), "c.yaml:3: scrape_configs[0].basic_auth: unknown field, which is not shown"},
		{job("basic_auth: hunter2"), "scrape_configs[0].basic_auth: expected fields"},
		{job("basic_auth: {password: [hunter2]}"), "basic_auth.password: expected a single value"},
		{job("authorization: {credentials: \"hunter2\\n\"}"), "credentials: is not fit for a header"},
		{job("authorization: {type: Bearer}"), "credentials_file is missing"},
		{job("authorization: {type: Basic, credentials: hunter2}"), "for basic there is basic_auth"},
		{job("authorization: {credentials: hunter2}\n  basic_auth: {username: a}"), "basic_auth and authorization exclude each other"},
		{job("tls_config: {cert_file: x}"), "cert_file and key_file go together"},
		{job("tls_config: {ca: x}"), "c.yaml:3: scrape_configs[0].tls_config.ca: unknown field, known are ca_file, "},
		{job("relabel_configs: [{action: shout}]"), `relabel_configs[0].action: is "shout", must be replace or keep`},
		{job("relabel_configs: [{action: replace}]"), "relabel_configs[0]: target_label is missing"},
		{job("relabel_configs: [{action: keep, regex: '('}]"), "relabel_configs[0].regex: error parsing regexp"},
		{job("relabel_configs: [{action: drop, target_label: x}]"), "target_label is of no use to the action drop"},
		{job("relabel_configs: [{action: hashmod, target_label: x}]"), "modulus is missing"},
		{job("relabel_configs: [{target_label: '1 2'}]"), `target_label: "1 2" is not the name of a label`},
	} {
		_, err := readConfig("c.yaml", []byte(c.text))
		switch {
		case err == nil:
			t.Errorf("%q is taken", c.text)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%q: the error has the secret: %v", c.text, err)
		}
	}
}

// TestManyErrors checks that all are reported, and how many lines that takes.
func TestManyErrors(t *testing.T) {
	t.Parallel()
	_, err := readConfig("c.yaml", []byte("x: 1\ny: 2\nscrape_configs:\n- {job_name: a, scheme: z}\n"))
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != 3 {
		t.Errorf("%d errors: %v", got, err)
	}
	_, err = readConfig("c.yaml", []byte(strings.Repeat("x: 1\n", 1000)))
	if got := strings.Count(fmt.Sprint(err), "\n") + 1; got != maxErrors+1 {
		t.Errorf("%d lines of errors: %v", got, err)
	}
}

// TestAliasBomb reads a file whose anchors unfold to more than there is memory for.
func TestAliasBomb(t *testing.T) {
	t.Parallel()
	text := "global: {}\nscrape_configs:\n- &job\n  job_name: a\n  static_configs:\n  - &group\n    targets: [" +
		strings.Repeat("'x:1',", 1000) + "]\n" + strings.Repeat("  - *group\n", 1000) + strings.Repeat("- *job\n", 1000)
	_, err := readConfig("c.yaml", []byte(text))
	if err == nil || !strings.Contains(err.Error(), "the file has more than 1048576 values") {
		t.Errorf("%.300v", err)
	}
	// Fields that are not known are looked at as well.
	d := &decoder{file: "sd.yaml"}
	root, ok := d.document([]byte("- &group {" + strings.Repeat("a: ,", 100) + "}\n" + strings.Repeat("- *group\n", 20_000)))
	visited := 0
	d.list(root, func(v value) { d.mapping(v, func(value, value) { visited++ }) })
	if !ok || visited > maxNodes {
		t.Errorf("%d fields are looked at", visited)
	}
}

// writeFile writes a file of a test.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"maps"
	"math"
	"net/textproto"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"

	"github.com/strobe-profiler/strobe/collectionagent/auth"
)

// readConfig reads the file. The error names every field that is wrong, with its
// line, and no secret.
func readConfig(file string, b []byte) (*config, error) {
	d := &decoder{file: file}
	c := &config{}
	if root, ok := d.document(b); ok {
		d.config(root, c)
	}
	return c, d.err()
}

func (d *decoder) config(v value, c *config) {
	defaults := job{interval: defaultInterval, timeout: defaultTimeout}
	var jobs value
	d.fields(v, map[string]func(value){
		"global": func(v value) {
			d.fields(v, map[string]func(value){
				"scrape_interval": d.duration(&defaults.interval, minInterval, maxInterval),
				"scrape_timeout":  d.duration(&defaults.timeout, minTimeout, maxTimeout),
				"body_size_limit": d.size(&defaults.bodyLimit),
				"target_limit":    d.integer(&defaults.targetLimit, 0, math.MaxInt32),
			})
		},
		"scrape_configs": func(v value) { jobs = v }, // after the defaults, wherever they stand
	})
	if jobs.Node == nil {
		return
	}
	names := map[string]bool{}
	d.list(jobs, func(v value) {
		j := d.job(v, defaults)
		if names[j.name] && j.name != "" {
			d.bad(v, "job_name: %s is there twice", j.name)
		}
		names[j.name] = true
		c.jobs = append(c.jobs, j)
	})
}

func (d *decoder) job(v value, defaults job) *job {
	j := &defaults
	j.project, j.scheme = auth.DefaultProject, "http"
	j.client.followRedirects = true
	var profiles value
	d.fields(v, map[string]func(value){
		"job_name":         d.text(&j.name),
		"project":          d.project(&j.project),
		"scrape_interval":  d.duration(&j.interval, minInterval, maxInterval),
		"scrape_timeout":   d.duration(&j.timeout, minTimeout, maxTimeout),
		"scheme":           d.oneOf(&j.scheme, "http", "https"),
		"params":           func(v value) { j.params = d.params(v) },
		"follow_redirects": d.boolean(&j.client.followRedirects),
		"body_size_limit":  d.size(&j.bodyLimit),
		"target_limit":     d.integer(&j.targetLimit, 0, math.MaxInt32),
		"profiling_config": func(v value) {
			d.fields(v, map[string]func(value){
				"path_prefix":  d.urlPath(&j.pathPrefix),
				"pprof_config": func(v value) { profiles = v }, // after the interval
			})
		},
		"basic_auth":    func(v value) { d.basicAuth(v, &j.client) },
		"authorization": func(v value) { d.authorization(v, &j.client) },
		"tls_config":    func(v value) { d.tls(v, &j.client.tls) },
		"static_configs": func(v value) {
			d.list(v, func(v value) { j.groups = append(j.groups, d.group(v)) })
		},
		"file_sd_configs": func(v value) {
			d.list(v, func(v value) { j.files = append(j.files, d.fileDiscovery(v)) })
		},
		"relabel_configs": func(v value) {
			d.list(v, func(v value) { j.rules = append(j.rules, d.rule(v)) })
		},
	})
	switch {
	case j.name == "":
		d.bad(v, "job_name is missing")
	case len(j.name) > maxJobName || !utf8.ValidString(j.name):
		d.bad(v, "job_name: must be at most %d bytes of text", maxJobName)
	}
	if j.client.basic && j.client.authorization != "" {
		d.bad(v, "basic_auth and authorization exclude each other")
	}
	j.profiles = d.profiles(profiles, j.interval)
	return j
}

// project reads the name of a project.
func (d *decoder) project(to *string) func(value) {
	return func(v value) {
		if s, ok := d.scalar(v); ok {
			if err := auth.CheckProject(s); err != nil {
				d.bad(v, "%w", err)
				return
			}
			*to = s
		}
	}
}

func (d *decoder) params(v value) url.Values {
	params := url.Values{}
	d.mapping(v, func(_, field value) {
		name := field.path[strings.LastIndexByte(field.path, '.')+1:]
		var list []string
		if field, ok := d.resolve(field); ok {
			d.texts(&list)(field)
		}
		params[name] = append(params[name], list...)
	})
	return params
}

// urlPath reads a path, which begins with a slash and has no parameters.
func (d *decoder) urlPath(to *string) func(value) {
	return func(v value) {
		s, ok := d.scalar(v)
		if !ok {
			return
		}
		if err := checkPath(s); err != "" {
			d.bad(v, "%s", err)
			return
		}
		*to = s
	}
}

// checkPath says what is wrong with a path, "" if nothing is.
func checkPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '?' || r == '#' }) {
		return "must be a path that begins with /, without parameters"
	}
	return ""
}

// profiles reads which profiles are fetched. Those that are not mentioned are as they
// are without pprof_config.
func (d *decoder) profiles(v value, interval time.Duration) []wanted {
	all := knownProfiles()
	if v.Node != nil {
		seen := map[string]bool{}
		d.mapping(v, func(key, field value) {
			name := key.Value
			switch {
			case !profileName.MatchString(name):
				d.bad(key, "the name of a profile is of letters, digits, - and _")
			case seen[name]:
				d.bad(key, "is there twice")
			default:
				seen[name] = true
				if field, ok := d.resolve(field); ok {
					all[name] = d.profile(field, all[name], interval)
				}
			}
		})
	}
	var enabled []wanted
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		if p.name = name; !p.enabled {
			continue
		}
		if p.seconds < 0 {
			p.seconds = longest(interval)
		}
		enabled = append(enabled, p)
	}
	return enabled
}

var profileName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,60}$`)

// longest returns how many seconds a profile may take in an interval.
func longest(interval time.Duration) int { return max(int(interval/time.Second)-1, 1) }

func (d *decoder) profile(v value, p wanted, interval time.Duration) wanted {
	own := p.path == ""
	p.enabled = true // as with Parca, to mention it is enough
	d.fields(v, map[string]func(value){
		"enabled": d.boolean(&p.enabled),
		"path":    d.urlPath(&p.path),
		"seconds": d.integer(&p.seconds, 0, int(maxInterval/time.Second)),
		"delta":   d.boolean(&p.delta),
		"keep_sample_type": func(v value) {
			d.list(v, func(v value) {
				var typ, unit string
				d.fields(v, map[string]func(value){"type": d.text(&typ), "unit": d.text(&unit)})
				p.keep += typ + "/" + unit + "\n"
			})
		},
	})
	switch {
	case own && p.path == "":
		d.bad(v, "path is missing, which a profile needs that is none of %s", strings.Join(slices.Sorted(maps.Keys(knownProfiles())), ", "))
	case p.enabled && p.seconds > longest(interval):
		d.bad(v, "seconds: is %d, must be less than scrape_interval, which is %s", p.seconds, interval)
	}
	return p
}

func (d *decoder) basicAuth(v value, c *clientConfig) {
	c.basic = true
	d.fields(v, map[string]func(value){
		"username": d.text(&c.username), "password": d.text(&c.password), "password_file": d.path(&c.passwordFile),
	})
	if c.password != "" && c.passwordFile != "" {
		d.bad(v, "password and password_file exclude each other")
	}
	if strings.Contains(c.username, ":") {
		d.bad(v, "username: must not contain a colon")
	}
}

func (d *decoder) authorization(v value, c *clientConfig) {
	c.authorization = "Bearer"
	d.fields(v, map[string]func(value){
		"type": d.text(&c.authorization), "credentials": d.text(&c.credentials), "credentials_file": d.path(&c.credentialsFile),
	})
	switch {
	case c.credentials != "" && c.credentialsFile != "":
		d.bad(v, "credentials and credentials_file exclude each other")
	case c.credentials == "" && c.credentialsFile == "":
		d.bad(v, "credentials_file is missing")
	case !httpguts.ValidHeaderFieldValue(c.credentials):
		d.bad(v, "credentials: is not fit for a header")
	}
	if c.authorization = textproto.TrimString(c.authorization); c.authorization == "" || !httpguts.ValidHeaderFieldName(c.authorization) {
		d.bad(v, "type: must be a word such as Bearer")
	} else if strings.EqualFold(c.authorization, "basic") {
		d.bad(v, "type: for basic there is basic_auth")
	}
}

func (d *decoder) tls(v value, c *tlsConfig) {
	c.minVersion = "TLS13"
	d.fields(v, map[string]func(value){
		"ca_file": d.path(&c.caFile), "cert_file": d.path(&c.certFile), "key_file": d.path(&c.keyFile),
		"server_name": d.text(&c.serverName), "insecure_skip_verify": d.boolean(&c.insecure),
		"min_version": d.oneOf(&c.minVersion, "TLS12", "TLS13"),
	})
	if (c.certFile == "") != (c.keyFile == "") {
		d.bad(v, "cert_file and key_file go together, only one is given")
	}
}

// path reads the path of a file, which is relative to the directory of this one.
func (d *decoder) path(to *string) func(value) {
	return func(v value) {
		if s, ok := d.scalar(v); ok && s != "" {
			if !filepath.IsAbs(s) {
				s = filepath.Join(filepath.Dir(d.file), s)
			}
			*to = s
		}
	}
}

// group reads targets and their labels.
func (d *decoder) group(v value) group {
	g := group{labels: map[string]string{}}
	d.fields(v, map[string]func(value){
		"targets": func(v value) {
			d.list(v, func(v value) {
				s, ok := d.scalar(v)
				if !ok {
					return
				}
				if wrong := checkAddress(s); wrong != "" {
					d.bad(v, "%s", wrong)
					return
				}
				g.targets = append(g.targets, s)
			})
		},
		"labels": func(v value) {
			d.mapping(v, func(key, field value) {
				if !labelName.MatchString(key.Value) {
					d.bad(key, "is not the name of a label")
					return
				}
				if field, ok := d.resolve(field); ok {
					if s, ok := d.scalar(field); ok {
						g.labels[key.Value] = s
					}
				}
			})
		},
	})
	return g
}

// sdFile is what Prometheus allows as well: a star in the name of the file only.
var sdFile = regexp.MustCompile(`^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`)

func (d *decoder) fileDiscovery(v value) fileDiscovery {
	f := fileDiscovery{refresh: defaultRefresh}
	var files []string
	d.fields(v, map[string]func(value){
		"files": func(v value) {
			d.list(v, func(v value) {
				var pattern string
				d.path(&pattern)(v)
				if _, err := filepath.Match(pattern, ""); err != nil || !sdFile.MatchString(pattern) {
					d.bad(v, "must be a path that ends in .json, .yml or .yaml, and have a star in the name of the file at most")
					return
				}
				files = append(files, pattern)
			})
		},
		"refresh_interval": d.duration(&f.refresh, time.Second, 24*time.Hour),
	})
	if f.patterns = files; len(files) == 0 && v.Kind == yaml.MappingNode {
		d.bad(v, "files is missing")
	}
	return f
}

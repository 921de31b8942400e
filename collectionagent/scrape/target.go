// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
)

// Labels with a meaning, as Prometheus, Parca and Alloy call them.
const (
	labelAddress    = "__address__"
	labelScheme     = "__scheme__"
	labelProfile    = "__name__"
	labelPath       = "__profile_path__"
	labelPathPrefix = "__profile_path_prefix__"
	labelParam      = "__param_"
	labelFile       = "__meta_filepath"
	labelInternal   = "__"
	labelJob        = "job"
	labelInstance   = "instance"
)

// spec says all about an endpoint, a profile of a target. It is comparable: one that
// is the same after a change of the file goes on undisturbed.
type spec struct {
	// configured is the job of the file, job the one that rules made of it.
	configured                      string
	job, instance, profile, project string
	// kind tells profiles apart whose types have the same names.
	kind string
	// url is where it is, with parameters; where is the same without them, which may
	// be shown.
	url, where string
	// labels are those of its samples, as pairs that end in a zero byte, sorted.
	labels            string
	interval, timeout time.Duration
	seconds           int
	delta             bool
	keep              string
	bodyLimit         int64
	client            *client
}

// key names an endpoint, whatever else is said about it.
type key struct{ project, url, labels, profile string }

func (s *spec) key() key { return key{s.project, s.url, s.labels, s.profile} }

// next returns the first turn after a time. Turns follow from what the endpoint is, and
// are the same after a restart.
func (s *spec) next(after time.Time) time.Time {
	k := s.key()
	interval := uint64(s.interval) //nolint:gosec // positive
	sum := xxh3.HashString(strings.Join([]string{k.project, k.url, k.labels, k.profile}, "\x00"))
	offset := sum % interval
	since := (uint64(after.UnixNano()) - offset) % interval //nolint:gosec // only what is left over matters
	return after.Add(s.interval - time.Duration(since))     //nolint:gosec // less than the interval
}

// labelMap returns the labels.
func (s *spec) labelMap() map[string]string {
	m := map[string]string{}
	parts := strings.Split(s.labels, "\x00")
	for i := 0; i+1 < len(parts); i += 2 {
		m[parts[i]] = parts[i+1]
	}
	return m
}

// checkAddress says what is wrong with an address, "" if nothing is. It shows nothing
// of it: somebody may have put a password there.
func checkAddress(s string) string {
	const want = "must be host:port"
	u, err := url.Parse("http://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return want + ", without scheme, path and password"
	}
	if strings.HasSuffix(s, ":") {
		return want
	}
	if _, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return want + " with a port from 1 to 65535"
		}
	}
	return ""
}

// endpoints appends the endpoints of a target. The error tells what is wrong with it
// after the rules have changed it.
func (j *job) endpoints(to []spec, address string, labels map[string]string, c *client) ([]spec, error) {
	for i := range j.profiles {
		s, keep, err := j.endpoint(&j.profiles[i], address, labels, c)
		if err != nil {
			return to, err
		}
		if keep {
			to = append(to, s)
		}
	}
	return to, nil
}

// endpoint returns one profile of a target, unless a rule drops it.
func (j *job) endpoint(p *wanted, address string, labels map[string]string, c *client) (s spec, keep bool, err error) {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	for name, text := range map[string]string{
		labelJob: j.name, labelScheme: j.scheme, labelPathPrefix: j.pathPrefix, labelPath: p.path, labelProfile: p.name,
	} {
		if all[name] == "" && text != "" {
			all[name] = text
		}
	}
	all[labelAddress] = address
	for name, values := range j.params {
		if len(values) > 0 && values[0] != "" {
			all[labelParam+name] = values[0]
		}
	}
	if !relabel(all, j.rules) {
		return s, false, nil
	}
	where, err := location(all)
	if err != nil {
		return s, false, err
	}
	if all[labelInstance] == "" {
		all[labelInstance] = all[labelAddress]
	}
	s = spec{
		configured: j.name, job: all[labelJob], instance: all[labelInstance], profile: p.name, project: j.project,
		kind: p.name + " " + p.path, where: where.String(), interval: j.interval, timeout: j.timeout,
		seconds: p.seconds, delta: p.delta && p.seconds == 0, keep: p.keep, bodyLimit: j.bodyLimit, client: c,
	}
	where.RawQuery = j.query(all, p.seconds)
	s.url = where.String()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if text := all[name]; text != "" && !strings.HasPrefix(name, labelInternal) {
			if strings.Contains(text, "\x00") {
				return s, false, fmt.Errorf("the label %s has a zero byte", name)
			}
			b.WriteString(name + "\x00" + text + "\x00")
		}
	}
	s.labels = b.String()
	return s, true, nil
}

// location returns where labels say that an endpoint is.
func location(labels map[string]string) (*url.URL, error) {
	address, scheme := labels[labelAddress], labels[labelScheme]
	if wrong := checkAddress(address); wrong != "" {
		return nil, fmt.Errorf("%s: %s", labelAddress, wrong)
	}
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("%s: must be http or https", labelScheme)
	}
	path := strings.TrimSuffix(labels[labelPathPrefix], "/") + labels[labelPath]
	if wrong := checkPath(path); wrong != "" {
		return nil, fmt.Errorf("%s: %s", labelPath, wrong)
	}
	return &url.URL{Scheme: scheme, Host: address, Path: path}, nil
}

// query returns the parameters of a request.
func (j *job) query(labels map[string]string, seconds int) string {
	q := url.Values{}
	for name, values := range j.params {
		q[name] = slices.Clone(values)
	}
	for name, text := range labels {
		if name, ok := strings.CutPrefix(name, labelParam); ok {
			if len(q[name]) > 0 {
				q[name][0] = text
			} else {
				q[name] = []string{text}
			}
		}
	}
	if seconds > 0 {
		q.Set("seconds", strconv.Itoa(seconds))
	}
	return q.Encode()
}

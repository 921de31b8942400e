// SPDX-License-Identifier: Apache-2.0

package profilemetrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/internal/smallfile"
	"github.com/strobe-profiler/strobe/libpf"
)

// Defaults and bounds of the file.
const (
	defaultInterval = time.Minute
	minInterval     = 10 * time.Second
	maxInterval     = time.Hour
	// defaultDelay is how long samples may take from their capture to the store: agents
	// send every 5 s, and once more after an error.
	defaultDelay = 15 * time.Second
	maxDelay     = 10 * time.Minute

	defaultTop, maxTop       = 10, 100
	defaultGroups, maxGroups = 20, 100
	maxRules                 = 100
	maxFunctions             = 100
	maxFileKiB               = 1024
	defaultProject           = "default"
)

// settings is the file as it is written.
type settings struct {
	Interval string        `yaml:"interval"`
	Delay    string        `yaml:"delay"`
	Rules    []ruleSetting `yaml:"rules"`
}

type ruleSetting struct {
	Name      string   `yaml:"name"`
	Project   string   `yaml:"project"`
	Type      string   `yaml:"type"`
	Query     string   `yaml:"query"`
	By        string   `yaml:"by"`
	Groups    int      `yaml:"groups"`
	Top       *int     `yaml:"top"`
	Functions []string `yaml:"functions"`
}

// config is what the file means.
type config struct {
	interval, delay time.Duration
	rules           []*rule
}

// rule is what is exported of a selection.
type rule struct {
	name, project string
	kind          libpf.SampleType
	matchers      []*store.Matcher
	by            string // a label whose values are told apart, "" for none
	groups        int    // most of them
	top           int    // most functions of each
	functions     []string
}

// Check reads a file as [New] does, and forgets it.
func Check(path string) error {
	_, err := read(path)
	return err
}

func read(path string) (*config, error) {
	b, _, err := smallfile.Read(path, maxFileKiB)
	if err != nil {
		return nil, fmt.Errorf("-profile-metrics: %w", err)
	}
	c, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("-profile-metrics: %s: %w", path, err)
	}
	return c, nil
}

func parse(b []byte) (*config, error) {
	in := yaml.NewDecoder(bytes.NewReader(b))
	in.KnownFields(true)
	var s settings
	if err := in.Decode(&s); errors.Is(err, io.EOF) {
		return nil, errors.New("rules: is empty")
	} else if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	c := &config{}
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	c.interval = duration(s.Interval, defaultInterval, minInterval, maxInterval, "interval", bad)
	c.delay = duration(s.Delay, defaultDelay, 0, maxDelay, "delay", bad)
	if len(s.Rules) == 0 || len(s.Rules) > maxRules {
		bad("rules", "there are %d, must be 1 to %d", len(s.Rules), maxRules)
		return nil, errors.Join(errs...)
	}
	names := map[string]bool{}
	for i := range s.Rules {
		field := fmt.Sprintf("rules[%d]", i)
		r := s.Rules[i].rule(func(name, format string, args ...any) { bad(field+"."+name, format, args...) })
		if names[r.name] {
			bad(field+".name", "%q is the name of another rule", r.name)
		}
		names[r.name] = true
		c.rules = append(c.rules, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// rule checks an entry of the file.
func (s *ruleSetting) rule(bad func(field, format string, args ...any)) *rule {
	r := &rule{name: s.Name, project: s.Project, by: s.By, groups: s.Groups, top: defaultTop, functions: slices.Clone(s.Functions)}
	if r.name == "" {
		bad("name", "is missing")
	}
	if r.project == "" {
		r.project = defaultProject
	}
	kind := s.Type
	if kind == "" {
		kind = libpf.SampleOnCPU.String()
	}
	var err error
	if r.kind, err = libpf.ParseSampleType(kind); err != nil {
		bad("type", "%v", err)
	}
	if r.matchers, err = query.ParseSelector(s.Query); err != nil {
		bad("query", "%v", err)
	}
	if s.Top != nil {
		r.top = *s.Top
	}
	if r.top < 0 || r.top > maxTop {
		bad("top", "is %d, must be 0 to %d", r.top, maxTop)
	}
	switch {
	case r.by == "" && r.groups != 0:
		bad("groups", "needs by")
	case r.groups == 0:
		r.groups = defaultGroups
	case r.groups < 0 || r.groups > maxGroups:
		bad("groups", "is %d, must be 1 to %d", r.groups, maxGroups)
	}
	if len(r.functions) > maxFunctions {
		bad("functions", "there are %d, at most %d", len(r.functions), maxFunctions)
	}
	return r
}

// duration reads a duration as Prometheus writes them.
func duration(text string, missing, from, to time.Duration, field string, bad func(field, format string, args ...any)) time.Duration {
	if text == "" {
		return missing
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		bad(field, "%v", err)
		return missing
	}
	if got := time.Duration(d); got < from || got > to {
		bad(field, "is %s, must be from %s to %s", d, model.Duration(from), model.Duration(to))
	}
	return time.Duration(d)
}

// SPDX-License-Identifier: Apache-2.0

package pyroscope

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/api"
	"github.com/strobe-profiler/strobe/collectionagent/query"
	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// serviceName is what Pyroscope calls the label service.
const serviceName = "service_name"

// takesAnyName reports whether a client takes labels with any name; older ones know letters, digits
// and underscores.
func takesAnyName(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Accept"), func(v string) bool { return strings.Contains(v, "allow-utf8-labelnames=true") })
}

// outward returns what a label is called in answers.
func outward(name string, anyName bool) string {
	if name == store.LabelService {
		return serviceName
	}
	if anyName {
		return name
	}
	return plain(name)
}

// plain replaces what older clients do not know in the name of a label.
func plain(name string) string {
	out := []byte(name)
	for i, c := range out {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			out[i] = '_'
		}
	}
	return string(out)
}

// inward finds the labels that names in a question mean: a name with underscores may be that of a
// label which has something else in their place. Only then is the store asked which labels there are.
func inward(ctx context.Context, q *api.Question, in *query.Selection, names []string) ([]string, error) {
	out := make([]string, len(names))
	var known []query.Label
	for i, name := range names {
		out[i] = name
		if name == serviceName {
			out[i] = store.LabelService
		}
		if slices.Contains(store.BuiltinLabels, out[i]) || !strings.Contains(name, "_") {
			continue
		}
		if known == nil {
			all := &query.Selection{Project: in.Project, Type: in.Type, From: in.From, To: in.To}
			var err error
			if known, err = q.Labels(ctx, all); err != nil {
				return nil, err
			}
			if known == nil {
				known = []query.Label{}
			}
		}
		if slices.ContainsFunc(known, func(l query.Label) bool { return l.Name == name }) {
			continue
		}
		if at := slices.IndexFunc(known, func(l query.Label) bool { return plain(l.Name) == name }); at >= 0 {
			out[i] = known[at].Name
		}
	}
	return out, nil
}

// rename gives the matchers of a selection the names that its labels have here.
func rename(ctx context.Context, q *api.Question, s *query.Selection) error {
	names := make([]string, len(s.Matchers))
	for i, m := range s.Matchers {
		names[i] = m.Name
	}
	names, err := inward(ctx, q, s, names)
	if err != nil {
		return err
	}
	renamed := make([]*store.Matcher, len(s.Matchers))
	for i, m := range s.Matchers {
		c := *m
		c.Name = names[i]
		renamed[i] = &c
	}
	s.Matchers = renamed
	return nil
}

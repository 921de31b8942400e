// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"crypto/md5" //nolint:gosec // spreads targets, as Prometheus does, and protects nothing
	"encoding/binary"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule changes the labels of a target, or drops it.
type rule struct {
	action      string
	source      []string
	separator   string
	regex       *regexp.Regexp // of the whole text
	modulus     uint64
	target      string
	replacement string
}

var relabelActions = []string{
	"replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep", "lowercase", "uppercase",
}

// wholeText compiles an expression that must match all of a text.
func wholeText(expression string) (*regexp.Regexp, error) {
	return regexp.Compile("^(?s:" + expression + ")$")
}

var anyText = regexp.MustCompile("^(?s:(.*))$")

// labelName is what names of labels may be. Beside the names of Prometheus those of
// OpenTelemetry are allowed.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_./-]*$`)

// rule reads a rule.
func (d *decoder) rule(v value) rule {
	r := rule{action: "replace", separator: ";", regex: anyText, replacement: "$1"}
	given := map[string]bool{}
	note := func(name string, read func(value)) func(value) {
		return func(v value) {
			given[name] = true
			read(v)
		}
	}
	var modulus int
	d.fields(v, map[string]func(value){
		"action": func(v value) {
			node := *v.Node // an alias may have it elsewhere
			node.Value = strings.ToLower(node.Value)
			d.oneOf(&r.action, relabelActions...)(value{&node, v.path})
		},
		"source_labels": note("source_labels", d.texts(&r.source)),
		"separator":     note("separator", d.text(&r.separator)),
		"target_label":  note("target_label", d.text(&r.target)),
		"replacement":   note("replacement", d.text(&r.replacement)),
		"modulus":       note("modulus", d.integer(&modulus, 1, 1<<31-1)),
		"regex": note("regex", func(v value) {
			s, ok := d.scalar(v)
			if !ok {
				return
			}
			re, err := wholeText(s)
			if err != nil {
				d.bad(v, "%w", err)
				return
			}
			r.regex = re
		}),
	})
	r.modulus = uint64(modulus) //nolint:gosec // not negative
	for _, name := range unused[r.action] {
		if given[name] {
			d.bad(v, "%s is of no use to the action %s", name, r.action)
		}
	}
	switch r.action {
	case "replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal":
		if r.target == "" {
			d.bad(v, "target_label is missing, which the action %s needs", r.action)
		} else if !labelName.MatchString(r.target) && (r.action != "replace" || !strings.Contains(r.target, "$")) {
			d.bad(v, "target_label: %.100q is not the name of a label", r.target)
		}
	}
	if r.action == "hashmod" && modulus == 0 {
		d.bad(v, "modulus is missing, which the action hashmod needs")
	}
	return r
}

// unused are the fields that an action does not look at.
var unused = map[string][]string{
	"replace":   {"modulus"},
	"keep":      {"modulus", "target_label", "replacement"},
	"drop":      {"modulus", "target_label", "replacement"},
	"keepequal": {"modulus", "replacement", "regex", "separator"},
	"dropequal": {"modulus", "replacement", "regex", "separator"},
	"hashmod":   {"replacement", "regex"},
	"labelmap":  {"modulus", "target_label", "source_labels", "separator"},
	"labeldrop": {"modulus", "target_label", "source_labels", "separator", "replacement"},
	"labelkeep": {"modulus", "target_label", "source_labels", "separator", "replacement"},
	"lowercase": {"modulus", "replacement", "regex"},
	"uppercase": {"modulus", "replacement", "regex"},
}

// relabel applies rules to labels, which it changes. keep is false when one of them
// drops the target.
func relabel(labels map[string]string, rules []rule) (keep bool) {
	for i := range rules {
		if !rules[i].apply(labels) {
			return false
		}
	}
	return true
}

// apply applies a rule.
func (r *rule) apply(labels map[string]string) (keep bool) {
	values := make([]string, len(r.source))
	for i, name := range r.source {
		values[i] = labels[name]
	}
	text := strings.Join(values, r.separator)
	switch r.action {
	case "keep":
		return r.regex.MatchString(text)
	case "drop":
		return !r.regex.MatchString(text)
	case "keepequal":
		return labels[r.target] == text
	case "dropequal":
		return labels[r.target] != text
	case "replace":
		match := r.regex.FindStringSubmatchIndex(text)
		if match == nil {
			break
		}
		if target := string(r.regex.ExpandString(nil, r.target, text, match)); labelName.MatchString(target) {
			set(labels, target, string(r.regex.ExpandString(nil, r.replacement, text, match)))
		}
	case "lowercase":
		set(labels, r.target, strings.ToLower(text))
	case "uppercase":
		set(labels, r.target, strings.ToUpper(text))
	case "hashmod":
		sum := md5.Sum([]byte(text)) //nolint:gosec // see the import
		set(labels, r.target, strconv.FormatUint(binary.BigEndian.Uint64(sum[8:])%r.modulus, 10))
	case "labelmap":
		before := maps.Clone(labels)
		for _, name := range slices.Sorted(maps.Keys(before)) {
			if !r.regex.MatchString(name) {
				continue
			}
			if to := r.regex.ReplaceAllString(name, r.replacement); labelName.MatchString(to) {
				set(labels, to, before[name])
			}
		}
	case "labeldrop":
		maps.DeleteFunc(labels, func(name, _ string) bool { return r.regex.MatchString(name) })
	case "labelkeep":
		maps.DeleteFunc(labels, func(name, _ string) bool { return !r.regex.MatchString(name) })
	}
	return true
}

// set sets a label; one without a value is none.
func set(labels map[string]string, name, text string) {
	if text == "" {
		delete(labels, name)
		return
	}
	labels[name] = text
}

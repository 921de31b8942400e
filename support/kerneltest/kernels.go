// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/strobe-profiler/strobe/support/vm"
)

// entry is a row of the table: a kernel, and how it is booted.
type entry struct {
	name, suite, flavour string
	append               []string
	cgroup               string
	noPMU                bool
	// noTypes takes the kernel's type information away.
	noTypes bool
	// hide are folders that the guest has something empty over.
	hide []string
	// cannot says why the agent must refuse, with a text that its message must have;
	// "" where it must work.
	cannot string
}

var entries = []entry{
	{name: "5.10", suite: "bullseye", cannot: "5.17"},
	{name: "6.1", suite: "bookworm"},
	{name: "6.1-generic", suite: "bookworm", flavour: "generic"},
	{name: "6.1-cgroup1", suite: "bookworm", cgroup: "v1"},
	{name: "6.1-integrity", suite: "bookworm", append: []string{"lockdown=integrity"}},
	{name: "6.1-confidentiality", suite: "bookworm", append: []string{"lockdown=confidentiality"}, cannot: "lockdown"},
	{name: "6.1-nobtf", suite: "bookworm", hide: []string{"/sys/kernel/btf"}, cannot: "cannot be seen here"},
	{name: "6.12-bookworm", suite: "bookworm-backports"},
	{name: "6.12", suite: "trixie"},
	{name: "6.12-nobtf", suite: "trixie", noTypes: true, cannot: "CONFIG_DEBUG_INFO_BTF"},
	{name: "sid", suite: "sid"},
	{name: "backports", suite: "trixie-backports"},
}

func (e *entry) source(update bool) vm.Source {
	return vm.Source{Suite: e.suite, Arch: "amd64", Flavour: e.flavour, Update: update}
}

// how says how it is booted, for the table.
func (e *entry) how() string {
	var out []string
	if e.flavour == "generic" {
		out = append(out, "for real machines")
	}
	out = append(out, e.append...)
	if e.cgroup != "" {
		out = append(out, "cgroup "+e.cgroup)
	}
	if e.noTypes {
		out = append(out, "without type information (BTF)")
	}
	for _, h := range e.hide {
		out = append(out, "without "+h)
	}
	return strings.Join(out, ", ")
}

// choose returns the entries that are named, separated by commas; "" is all.
func choose(names string) ([]entry, error) {
	if names == "" {
		return entries, nil
	}
	var out []entry
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, e := range entries {
			if e.name == strings.TrimSpace(name) {
				out, found = append(out, e), true
			}
		}
		if !found {
			var all []string
			for _, e := range entries {
				all = append(all, e.name)
			}
			return nil, fmt.Errorf("kernel %q is not known: use some of %s", name, strings.Join(all, ", "))
		}
	}
	return out, nil
}

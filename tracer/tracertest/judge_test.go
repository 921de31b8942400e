// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"strings"
	"testing"
)

const good = `c_o2;_start;main;palette_round;red_gate;red_hall;red_vault;red_leaf 60
c_o2;_start;main;palette_round;blue_gate;blue_leaf 30
c_o2;_start;main;palette_round;green_gate;green_hall;green_leaf 10
other;main 1000
`

func TestJudge(t *testing.T) {
	t.Parallel()
	all, err := Expectations()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		subject, folded string
		problem         string // "": none
	}{
		"right":            {"c-o2", good, ""},
		"inlined leaf":     {"c-o2", strings.ReplaceAll(good, "red_leaf", "red_leaf;burn"), ""},
		"too few":          {"c-o2", "c_o2;main 3\n", "only 3 samples"},
		"root is missing":  {"c-o2", strings.ReplaceAll(good, "_start;main;", ""), "reach a root"},
		"caller missing":   {"c-o2", strings.ReplaceAll(good, "red_hall;", ""), "red: callers are right in 0.0 %"},
		"stranger between": {"c-o2", strings.ReplaceAll(good, "red_hall", "red_hall;strange"), "red: callers"},
		"wrong share":      {"c-o2", strings.ReplaceAll(strings.ReplaceAll(good, " 60\n", " 1000\n"), " 30\n", " 40\n"), "share is"},
		"never seen":       {"c-o2", strings.ReplaceAll(good, "green_leaf", "x"), "green: never seen"},
		"no known code":    {"c-o2", good + "c_o2;_start;main;[unknown] 500\n", "hold a known function"},
		"not a whole word": {"c-o2", strings.ReplaceAll(good, "blue_leaf", "blue_leaf2"), "blue: never seen"},
		"recursion":        {"c-recur60", "c_recur60;main;expedition;" + strings.Repeat("climb;", 60) + "summit 100\n", ""},
		"recursion cut":    {"c-recur60", "c_recur60;main;expedition;" + strings.Repeat("climb;", 59) + "summit 100\n", "climb occurs 60 times in 0 of 100"},
		"tail call shown":  {"c-tail", "c_tail;main;relay_round;relay_top;relay_mid;relay_leaf 100\n", "relay_mid should never"},
		"too shallow":      {"c-o3-stripped", "c_o3strip;__libc_start_main;a;b 100\n", "frames deep"},
	} {
		r, err := Judge(all[c.subject], strings.NewReader(c.folded))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := strings.Join(r.Problems, "; ")
		if c.problem == "" && found != "" || !strings.Contains(found, c.problem) {
			t.Errorf("%s: problems are %q, want %q", name, found, c.problem)
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	all, err := Expectations()
	if err != nil {
		t.Fatal(err)
	}
	for _, folded := range []string{"nocount\n", "c_o2;main x\n"} {
		if _, err := Judge(all["c-o2"], strings.NewReader(folded)); err == nil {
			t.Errorf("%q is accepted", folded)
		}
	}
}

func TestEverySubjectCanBeBuilt(t *testing.T) {
	t.Parallel()
	all, err := Expectations()
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		if _, ok := recipes[name]; ok {
			continue
		}
		if _, ok := programs()[name]; !ok {
			t.Errorf("subject %s has no recipe", name)
		}
	}
	for name := range recipes {
		if all[name] == nil {
			t.Errorf("recipe %s has no expectation", name)
		}
	}
	for name := range programs() {
		if all[name] == nil {
			t.Errorf("program %s has no expectation", name)
		}
	}
}

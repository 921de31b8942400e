// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFlagsExist wants every flag of our programs in commands of the documents,
// tried or not, to be in docs/configure.md, which is made from the code.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	root := Root(t)
	src, err := os.ReadFile(filepath.Join(root, "docs", "configure.md"))
	if err != nil {
		t.Fatal(err)
	}
	flag := regexp.MustCompile("(?:^|[\\s`|\\[(])--?([a-zA-Z][a-zA-Z0-9-]*)")
	known := map[string]bool{"help": true, "h": true, "version": true}
	for _, m := range flag.FindAllStringSubmatch(string(src), -1) {
		known[m[1]] = true
	}
	flags := 0
	for _, doc := range documents(t, root) {
		src, err := os.ReadFile(filepath.Join(root, doc))
		if err != nil {
			t.Fatal(err)
		}
		fenced := false
		for i, line := range strings.Split(string(src), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			var commands []string
			if fenced || strings.HasPrefix(line, "    ") {
				commands = []string{line}
			} else {
				for j, span := range strings.Split(line, "`") {
					if j%2 == 1 {
						commands = append(commands, span)
					}
				}
			}
			for _, c := range commands {
				for _, f := range flagsOf(c) {
					flags++
					if !known[f] {
						t.Errorf("%s:%d: no program has the flag -%s, in %q", doc, i+1, f, c)
					}
				}
			}
		}
	}
	if flags < 50 {
		t.Errorf("only %d flags were found", flags)
	}
}

var (
	ours       = regexp.MustCompile(`^(?:\S*/)?(?:strobe-)?(?:agent|collectionagent|strobectl)$`)
	before     = regexp.MustCompile(`^(?:sudo|env|\w+=.*)$`) // what may stand before the program
	given      = regexp.MustCompile(`^[\[(]*--?([a-zA-Z][a-zA-Z0-9-]*)`)
	quotedText = regexp.MustCompile(`'[^']*'|"[^"$]*"`)
	between    = strings.NewReplacer("$(", " ; ", ";", " ; ", "`", " ; ")
)

// flagsOf returns the names of the flags that a line of shell gives to our
// programs. Whose a flag is, the first word of its command says; what follows
// "--" is a command again.
func flagsOf(line string) (names []string) {
	first, own := true, false
	for word := range strings.FieldsSeq(between.Replace(quotedText.ReplaceAllString(line, "TEXT"))) {
		switch {
		case strings.HasPrefix(word, "#"):
			return names
		case word == "|" || word == "||" || word == "&" || word == "&&" || word == ";" || word == "--":
			first, own = true, false
		case first && before.MatchString(word):
		case first:
			first, own = false, ours.MatchString(word)
		case own:
			if m := given.FindStringSubmatch(word); m != nil {
				names = append(names, m[1])
			}
		}
	}
	return names
}

func TestFlagsOf(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"agent -a -b=1 --c":                          "a b c",
		"    bin/agent record -p PID   # not -this":  "p",
		"/usr/bin/strobe-agent -a [-b text|json]":    "a b",
		"sudo A=1 B='x y' strobectl top -a":          "a",
		"cat x | strobectl import -a -":              "a",
		"collectionagent -a data & bin/agent -b":     "a b",
		"TOKEN=$(collectionagent token create -a)":   "a",
		"kubectl -n x exec ds/strobe -- /agent -a":   "a",
		"agent record -a -- ./program -b":            "a",
		"strobectl top 'x -b' \"-c\" -a":             "a",
		"journalctl -u strobe-agent -p warning":      "",
		"systemctl status strobe-agent -n 5":         "",
		"go run ./agent -a":                          "",
		"no agent runs here, or has another -a":      "",
		"strobectl export -o - | flamegraph.pl --bw": "o",
	} {
		if got := strings.Join(flagsOf(line), " "); got != want {
			t.Errorf("%q: flags %q, not %q", line, got, want)
		}
	}
}

// TestDefaults compares the defaults in tables of other documents with those of
// docs/configure.md.
func TestDefaults(t *testing.T) {
	t.Parallel()
	root := Root(t)
	row := regexp.MustCompile("(?m)^\\| `-([a-z-]+)[^|]*` \\| ([^|]*) \\|")
	read := func(file string, column int) map[string]string {
		src, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for line := range strings.SplitSeq(string(src), "\n") {
			if m := row.FindStringSubmatch(line); m != nil {
				all[m[1]] = strings.Trim(strings.TrimSpace(strings.Split(line, "|")[column]), "`")
			}
		}
		return all
	}
	right := read("docs/configure.md", 3)
	for _, file := range []string{"docs/limits.md", "docs/retention.md"} {
		found := read(file, 2)
		if len(found) < 5 {
			t.Errorf("%s: only %d flags with defaults", file, len(found))
		}
		for name, value := range found {
			if want, ok := right[name]; !ok || value != want && !(value == "none" && want == "") {
				t.Errorf("%s: the default of -%s is %q, not %q", file, name, want, value)
			}
		}
	}
}

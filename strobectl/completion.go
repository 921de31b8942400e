// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/watch"
)

//go:embed completion/strobectl.bash
var completionBash string

//go:embed completion/strobectl.zsh
var completionZsh string

//go:embed completion/strobectl.fish
var completionFish string

var shells = []string{"bash", "zsh", "fish"}

func completionCommand() *command {
	return &command{
		name:     "completion",
		operands: "bash|zsh|fish",
		summary:  "Print what makes a shell complete commands, flags, labels and their values.",
		help: `
For the shell that runs now:
  source <(strobectl completion bash)
  source <(strobectl completion zsh)
  strobectl completion fish | source
For all later ones write it to ~/.local/share/bash-completion/completions/strobectl,
to _strobectl in a directory of zsh's $fpath, or to
~/.config/fish/completions/strobectl.fish. Labels and values are asked of the server
of the flags or of STROBE_URL, for half a second at most.`,
		setup: func(*flag.FlagSet) func(*call) error {
			return func(in *call) error {
				if len(in.args) != 1 {
					return misuse("expected the name of a shell: bash, zsh or fish")
				}
				script := map[string]string{"bash": completionBash, "zsh": completionZsh, "fish": completionFish}[in.args[0]]
				if script == "" {
					return misuse("%q is not known: expected bash, zsh or fish", in.args[0])
				}
				_, err := io.WriteString(in.stdout, script)
				return err
			}
		},
	}
}

// completeCommand is what the scripts call: the words up to the cursor, the last of
// which may be empty. It prints a candidate on a line, for fish and zsh with a tab and
// what it is. It never fails: there is nobody to read an error.
func completeCommand() *command {
	return &command{
		name: "__complete",
		setup: func(*flag.FlagSet) func(*call) error {
			return func(in *call) error {
				if len(in.args) == 0 {
					return nil
				}
				c := &completer{ctx: in.ctx}
				for _, found := range c.complete(in.args) {
					if _, err := fmt.Fprintf(in.stdout, "%s\t%s\n", found.text, found.about); err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

// completionTimeout bounds how long a shell waits for the server.
const completionTimeout = 500 * time.Millisecond

// candidate is what a word may become.
type candidate struct{ text, about string }

// fileCandidate asks the shell for names of files.
const fileCandidate = "__files__"

type completer struct {
	ctx   context.Context //nolint:containedctx // for one call
	flags *flag.FlagSet
	ask   ask
	// command is the name of the one that is called.
	command string
}

// complete returns what the last word may become.
func (c *completer) complete(words []string) []candidate {
	current := words[len(words)-1]
	before := words[:len(words)-1]
	at := root()
	help := len(before) > 0 && before[0] == "help"
	if help {
		before = before[1:]
	}
	for len(before) > 0 && at.setup == nil {
		i := slices.IndexFunc(at.commands, func(below *command) bool { return below.name == before[0] })
		if i < 0 {
			return nil
		}
		at, before = at.commands[i], before[1:]
	}
	if at.setup == nil {
		var all []candidate
		for _, below := range at.commands {
			if below.summary != "" {
				all = append(all, candidate{below.name, below.summary})
			}
		}
		return starting(all, current)
	}
	if help {
		return nil
	}
	c.flags, c.command = at.flags(at.name), at.name
	if at.name == "events" {
		c.ask.typ = "event"
	}
	operands, pending := c.read(before)
	if name, value, ok := strings.Cut(current, "="); ok && strings.HasPrefix(name, "-") {
		var out []candidate
		for _, found := range c.flagValues(strings.TrimLeft(name, "-"), value) {
			out = append(out, candidate{name + "=" + found.text, found.about})
		}
		return out
	}
	if pending != "" {
		return c.flagValues(pending, current)
	}
	if slices.Contains(before, "--") {
		return []candidate{{text: fileCandidate}}
	}
	if strings.HasPrefix(current, "-") {
		return c.flagNames(current)
	}
	return c.operands(at, operands, current)
}

// read takes the flags that say which server is asked. pending is the name of a flag
// whose value comes next.
func (c *completer) read(words []string) (operands []string, pending string) {
	for i := 0; i < len(words); i++ {
		name, ok := strings.CutPrefix(words[i], "-")
		if !ok || name == "" {
			operands = append(operands, words[i])
			continue
		}
		name, value, has := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		f := c.flags.Lookup(name)
		if f == nil {
			continue
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			continue
		}
		if !has {
			if i+1 == len(words) {
				return operands, name
			}
			i++
			value = words[i]
		}
		for flag, to := range map[string]*string{
			"server": &c.ask.server, "token-file": &c.ask.tokenFile, "project": &c.ask.project, "ca-file": &c.ask.caFile,
			"type": &c.ask.typ, "from": &c.ask.from, "to": &c.ask.to,
		} {
			if flag == name {
				*to = value
			}
		}
	}
	return operands, ""
}

func (c *completer) flagNames(prefix string) []candidate {
	var all []candidate
	double := strings.HasPrefix(prefix, "--")
	c.flags.VisitAll(func(f *flag.Flag) {
		_, about := flag.UnquoteUsage(f)
		name := "-" + f.Name
		if double {
			name = "-" + name
		}
		all = append(all, candidate{name, about})
	})
	return starting(all, prefix)
}

// flagValues returns what a flag may be.
func (c *completer) flagValues(name, prefix string) []candidate {
	words := func(list ...string) []candidate {
		all := make([]candidate, len(list))
		for i, word := range list {
			all[i].text = word
		}
		return starting(all, prefix)
	}
	switch name {
	case "type":
		return starting(c.types(), prefix)
	case "by":
		if f := c.flags.Lookup("interval"); f != nil {
			return words(watch.Groups...)
		}
		head := prefix[:strings.LastIndexByte(prefix, ',')+1]
		var out []candidate
		for _, l := range starting(c.labels(), prefix[len(head):]) {
			out = append(out, candidate{head + l.text, l.about})
		}
		return out
	case "from", "to", "base-from", "base-to", "at":
		return words("now", "now-5m", "now-15m", "now-1h", "now-6h", "now-1d", "now-7d")
	case "sort":
		if c.command == "executables" {
			return words("self", "total", "unnamed")
		}
		return words("self", "total")
	case "color":
		return words("auto", "always", "never")
	case "style":
		return words("auto", "icicle", "tree")
	case "show":
		return words("both", "callers", "callees")
	case "format":
		return words(files.Formats...)
	case "severity":
		return words("error", "warning")
	case "o":
		return append(words("json", "table"), candidate{text: fileCandidate})
	case "file", "base", "token-file", "ca-file", "out":
		return []candidate{{text: fileCandidate}}
	case "query", "base-query":
		return c.selector(prefix)
	}
	return nil
}

// operands returns what an argument may be.
func (c *completer) operands(at *command, before []string, current string) []candidate {
	switch at.name {
	case "completion":
		all := make([]candidate, len(shells))
		for i, name := range shells {
			all[i].text = name
		}
		return starting(all, current)
	case "import", "check", "convert", "record":
		return []candidate{{text: fileCandidate}}
	case "callers", "lines":
		if len(before) == 0 {
			return c.functions(current)
		}
	case "labels":
		if len(before) == 0 && !strings.ContainsAny(current, "={") {
			return append(starting(c.labels(), current), c.selector(current)...)
		}
	}
	if c.flags.Lookup("query") == nil {
		return nil
	}
	return c.selector(current)
}

// selector completes service=shop, and the last condition of {service="shop"}.
func (c *completer) selector(current string) []candidate {
	head, quote := "", ""
	if strings.HasPrefix(current, "{") {
		quote = `"`
		i := max(strings.LastIndexByte(current, ',')+1, 1)
		head, current = current[:i], current[i:]
	}
	i := strings.IndexAny(current, "=!")
	var out []candidate
	if i < 0 {
		labels := starting(c.labels(), current)
		if len(labels) == 1 && quote != "" {
			// Bash ends a quote behind a word that is the only one: it gets one that is whole.
			if values := c.selector(head + labels[0].text + "=" + quote); len(values) > 0 {
				return values
			}
		}
		for _, l := range labels {
			out = append(out, candidate{head + l.text + "=" + quote, l.about})
		}
		return out
	}
	n := i + 1
	if n < len(current) && (current[n] == '~' || current[n] == '=') {
		n++
	}
	name, operator := current[:i], current[i:n]
	value := strings.TrimLeft(current[n:], `"'`)
	for _, v := range c.values(name, value) {
		end := ""
		if quote != "" {
			end = quote + "}"
		}
		out = append(out, candidate{head + name + operator + quote + v.text + end, v.about})
	}
	return out
}

func starting(all []candidate, prefix string) []candidate {
	return slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return !strings.HasPrefix(c.text, prefix) })
}

// get asks the server, quickly and without a word.
func (c *completer) get(endpoint string, v url.Values, into any) bool {
	cl, err := c.ask.client()
	if err != nil {
		return false
	}
	for name, value := range map[string]string{"type": c.ask.typ, "from": ago(c.ask.from), "to": ago(c.ask.to)} {
		if value != "" && (name != "type" || endpoint != "types") {
			v.Set(name, value)
		}
	}
	if v.Get("from") == "" {
		v.Set("from", "now-1h")
	}
	ctx, cancel := context.WithTimeout(c.ctx, completionTimeout)
	defer cancel()
	_, err = cl.JSON(ctx, endpoint, v, into)
	return err == nil
}

// fits reports whether a text can be completed by all shells as it is.
func fits(text string) bool {
	return text != "" && text == term.Clean(text) && len(text) < 200
}

func (c *completer) labels() []candidate {
	var answer client.Labels
	if !c.get("labels", url.Values{}, &answer) {
		return nil
	}
	var all []candidate
	for _, l := range answer.Labels {
		if fits(l.Name) {
			all = append(all, candidate{l.Name, "label"})
		}
	}
	return all
}

func (c *completer) values(name, prefix string) []candidate {
	var answer client.Values
	if name == "" || !c.get("labels/"+url.PathEscape(name)+"/values", url.Values{"limit": {"100"}, "prefix": {prefix}}, &answer) {
		return nil
	}
	var all []candidate
	for _, v := range answer.Values {
		if fits(v.Value) {
			all = append(all, candidate{v.Value, counted(int(v.Samples), "sample")})
		}
	}
	return all
}

func (c *completer) types() []candidate {
	var answer client.Types
	if !c.get("types", url.Values{}, &answer) {
		return nil
	}
	var all []candidate
	for _, t := range answer.Types {
		all = append(all, candidate{t.Type, counted(int(t.Samples), "sample")})
	}
	return all
}

func (c *completer) functions(prefix string) []candidate {
	v := url.Values{"limit": {"200"}, "sort": {"total"}}
	if prefix != "" {
		v.Set("frames", functionPattern(prefix+"*"))
	}
	var answer client.Top
	if !c.get("top", v, &answer) {
		return nil
	}
	var all []candidate
	seen := map[string]bool{}
	for _, r := range answer.Rows {
		if fits(r.Name) && !seen[r.Name] {
			seen[r.Name] = true
			all = append(all, candidate{r.Name, r.Binary})
		}
	}
	return starting(all, prefix)
}

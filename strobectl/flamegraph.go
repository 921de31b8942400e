// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

// flameNodes is the most nodes that are asked for: a picture shows no more.
const (
	flameNodes   = 16384
	pictureNodes = 100_000
)

func flamegraphCommand() *command {
	return &command{
		name:     "flamegraph",
		operands: "[LABEL=VALUE...]",
		summary:  "Draw where the time goes, in the terminal or into a file.",
		help: `
In a terminal it is drawn with the callers above what they call; elsewhere it is
printed as an indented tree. -o FILE.svg writes a picture, -o FILE.html a page
that zooms and searches without a server. NAME of -zoom and -focus is part of the
name of a function; small letters match large ones, too.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			a.out(flags, "text, json, or a file that ends in .svg or .html")
			flags.StringVar(&a.file, "file", "", "`file` to read instead of asking a server")
			by := flags.String("by", "", "`labels` that make the first levels, with commas between them")
			view := viewFlags(flags)
			return func(in *call) error {
				format, name, err := picture(a.output)
				if err != nil {
					return err
				}
				if err := view.check(); err != nil {
					return err
				}
				out, err := a.terminal(in)
				if err != nil {
					return err
				}
				t, text, err := a.tree(in, *by, format != "")
				if err != nil || t == nil {
					return err
				}
				if t, err = view.apply(t); err != nil {
					return err
				}
				if format != "" {
					return writeTo(in, name, func(w io.Writer) error {
						return files.WriteTree(w, format, t, render.About{Title: title(a, in), Text: text})
					})
				}
				if _, err := fmt.Fprintf(out, "%s\n\n", out.Paint(term.Style{Bold: true}, term.Clean(text))); err != nil {
					return err
				}
				return view.print(out, t)
			}
		},
	}
}

// title says what was selected.
func title(a *ask, in *call) string {
	if a.file != "" {
		return a.file
	}
	query, _ := selector(a.query, in.args) // was read before
	return cmp.Or(query, "everything")
}

// tree returns the calls of a file or a selection, with a text about them. It is nil
// when all has been said.
func (a *ask) tree(in *call, by string, forPicture bool) (*tree.Tree, string, error) {
	if a.file != "" {
		if len(in.args) > 0 {
			return nil, "", misuse("%q selects samples of a server; a file is shown as a whole", in.args[0])
		}
		data, err := readInput(in, a.file)
		if err != nil {
			return nil, "", err
		}
		t, err := files.Read(data, a.typ)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", a.file, err)
		}
		return t, fmt.Sprintf("%s %s in %s", t.Type, render.Value(t.Unit, t.Root.Total), a.file), nil
	}
	q, err := a.question(in)
	if err != nil {
		return nil, "", err
	}
	nodes := flameNodes
	if forPicture {
		nodes = pictureNodes
	}
	q.values.Set("max_nodes", strconv.Itoa(nodes))
	if by != "" {
		q.values.Set("group_by", by)
	}
	var answer client.FlameGraph
	if done, err := q.get("flamegraph", &answer); done || err != nil {
		return nil, "", err
	}
	if answer.Total == 0 {
		return nil, "", q.nothing()
	}
	t, err := tree.FromAnswer(&answer)
	if err != nil {
		return nil, "", err
	}
	return t, about(&answer.Summary), nil
}

// view is how a tree is shown.
type view struct {
	style, zoom, focus string
	depth              int
	least              string
	share              float64
}

func viewFlags(flags *flag.FlagSet) *view {
	v := &view{}
	flags.StringVar(&v.style, "style", "auto", "`style`: icicle, tree, or auto by what the output is")
	flags.StringVar(&v.zoom, "zoom", "", "show what runs below the functions with this `NAME` alone")
	flags.StringVar(&v.focus, "focus", "", "show the stacks with a function of this `NAME` alone")
	flags.IntVar(&v.depth, "depth", -1, "most `levels`, 0 for all (default what fits the terminal)")
	flags.StringVar(&v.least, "min", "0.5%", "least `share` of the whole that a line of a tree is printed for")
	return v
}

func (v *view) check() (err error) {
	if v.style != "auto" && v.style != "icicle" && v.style != "tree" {
		return misuse("-style: %q is not known: expected auto, icicle or tree", v.style)
	}
	if v.share, err = share(v.least); err != nil {
		return misuse("-min: %v", err)
	}
	return nil
}

// apply zooms and focuses.
func (v *view) apply(t *tree.Tree) (*tree.Tree, error) {
	for _, by := range []struct {
		flag, pattern string
		apply         func(string) *tree.Tree
	}{{"-focus", v.focus, t.Focus}, {"-zoom", v.zoom, nil}} {
		if by.pattern == "" {
			continue
		}
		apply := by.apply
		if apply == nil {
			apply = t.Zoom // of what is left
		}
		if t = apply(by.pattern); t.Root.Total == 0 {
			return nil, fmt.Errorf("%s: no function has %q in its name", by.flag, by.pattern)
		}
	}
	return t, nil
}

func (v *view) print(out *term.Out, t *tree.Tree) error {
	icicle := v.style == "icicle" || v.style == "auto" && out.TTY
	depth := v.depth
	if depth < 0 {
		depth = 0
		if _, height := out.Size(); icicle && height > 0 {
			depth = max(height-6, 10)
		}
	}
	var err error
	if icicle {
		err = render.Icicle(out, t, render.IcicleOptions{Levels: depth})
	} else {
		err = render.CallTree(out, t, render.CallTreeOptions{Levels: depth, Least: v.share})
	}
	if err == nil && t.Hidden > 0 {
		err = faint(out, "%s of the server's tree are summed up in (other)", counted(t.Hidden, "smaller node"))
	}
	return err
}

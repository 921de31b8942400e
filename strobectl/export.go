// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
	"github.com/strobe-profiler/strobe/strobectl/internal/tree"
)

func exportCommand() *command {
	return &command{
		name:     "export",
		operands: "-o FILE [LABEL=VALUE...]",
		summary:  "Write a selection to a file, for other programs.",
		help: `
The format is told from the name: .pb.gz (pprof), .folded, .speedscope.json, .otlp,
.csv (functions), .svg, .html; or by -format, which -o - needs. With -file it turns
a file of one format into another.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-15m")
			flags.StringVar(&a.output, "o", "", "`file` to write, - for the standard output")
			flags.StringVar(&a.file, "file", "", "`file` to read instead of asking a server")
			format := flags.String("format", "", "`format`: "+strings.Join(files.Formats, ", ")+" (default by the name)")
			by := flags.String("by", "", "`labels` with commas between them: those of samples in pprof and OTLP, else the first levels")
			return func(in *call) error {
				if a.output == "" {
					return misuse("expected -o FILE")
				}
				f := cmp.Or(*format, files.ByName(a.output))
				if !slices.Contains(files.Formats, f) {
					if *format != "" {
						return misuse("-format: %q is not known: expected one of %s", f, strings.Join(files.Formats, ", "))
					}
					_, _, err := picture(a.output)
					return cmp.Or(err, misuse("-o: say which -format"))
				}
				if slices.Contains(files.Formats, a.output) && *format == "" {
					a.output = "-"
				}
				return a.export(in, f, *by)
			}
		},
	}
}

func (a *ask) export(in *call, format, by string) error {
	about := render.About{Title: title(a, in)}
	if a.file != "" {
		if len(in.args) > 0 {
			return misuse("%q selects samples of a server; a file is written as a whole", in.args[0])
		}
		data, err := readInput(in, a.file)
		if err != nil {
			return err
		}
		return writeTo(in, a.output, func(w io.Writer) error {
			if err := files.Convert(w, format, data, a.typ, about); err != nil {
				return fmt.Errorf("%s: %w", a.file, err)
			}
			return nil
		})
	}
	a.color = "auto"
	q, err := a.question(in)
	if err != nil {
		return err
	}
	if by != "" {
		q.values.Set("group_by", by)
	}
	p := startProgress(in, "exporting")
	defer p.end()
	switch format {
	case files.Pprof, files.OTLP, files.Speedscope:
		answer, err := q.client.Get(in.ctx, "pprof", q.values)
		if err != nil {
			return err
		}
		p.end()
		if empty, err := files.Empty(answer.Body); err != nil {
			return err
		} else if empty {
			return q.nothingWritten()
		}
		return writeTo(in, a.output, func(w io.Writer) error { return files.WritePprof(w, format, answer.Body, "", about) })
	case files.Folded:
		answer, err := q.client.Get(in.ctx, "folded", q.values)
		if err != nil {
			return err
		}
		p.end()
		if len(answer.Body) == 0 {
			return q.nothingWritten()
		}
		return writeTo(in, a.output, func(w io.Writer) error { _, err := w.Write(answer.Body); return err })
	case files.CSV:
		q.values.Del("group_by")
		q.values.Set("limit", "100000")
		var answer client.Top
		if _, err := q.client.JSON(in.ctx, "top", q.values, &answer); err != nil {
			return err
		}
		p.end()
		if answer.Total == 0 {
			return q.nothingWritten()
		}
		return writeTo(in, a.output, func(w io.Writer) error { return files.WriteCSV(w, answer.Unit, answer.Rows) })
	}
	q.values.Set("max_nodes", strconv.Itoa(pictureNodes))
	var answer client.FlameGraph
	if _, err := q.client.JSON(in.ctx, "flamegraph", q.values, &answer); err != nil {
		return err
	}
	p.end()
	if answer.Total == 0 {
		return q.nothingWritten()
	}
	t, err := tree.FromAnswer(&answer)
	if err != nil {
		return err
	}
	about.Text = aboutText(&answer.Summary)
	return writeTo(in, a.output, func(w io.Writer) error { return files.WriteTree(w, format, t, about) })
}

// nothingWritten says why there is no file. A script that goes on with it has to know.
func (q *question) nothingWritten() error {
	if err := q.nothing(); err != nil {
		return err
	}
	return errFindings
}

func aboutText(s *client.Summary) string { return about(s) }

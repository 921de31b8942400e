// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/render"
)

func timelineCommand() *command {
	return &command{
		name:     "timeline",
		operands: "[LABEL=VALUE...]",
		summary:  "Draw what was taken over time, by any label.",
		help: `
The columns of the list are the share of the whole, the sum, the largest value of a
step, and the course, each line to its own scale. Times are local (TZ).`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			a.selection(flags, "now-1h")
			a.out(flags, "text or json")
			flags.IntVar(&a.limit, "limit", 8, "most `series`, 1 to 1000; the rest is summed up")
			by := flags.String("by", "service", "`label` that makes the series, \"\" for none")
			step := flags.String("step", "", "width of a step, a `duration` (default what fits the terminal)")
			return func(in *call) error {
				if err := a.tableOrJSON(); err != nil {
					return err
				}
				q, err := a.question(in)
				if err != nil {
					return err
				}
				q.values.Set("limit", strconv.Itoa(a.limit))
				if *by != "" {
					q.values.Set("by", *by)
				}
				if *step != "" {
					q.values.Set("step", *step)
				}
				var answer client.Timeline
				if done, err := q.get("timeline", &answer); done || err != nil {
					return err
				}
				if answer.Total == 0 {
					return q.nothing()
				}
				// The range is that of the steps here.
				answer.Summary.FromMs, answer.Summary.ToMs = answer.FromMs, answer.ToMs
				if err := printSummary(q.out, &answer.Summary); err != nil {
					return err
				}
				if _, err := fmt.Fprintln(q.out); err != nil {
					return err
				}
				if err := render.Timeline(q.out, &answer, time.Local); err != nil {
					return err
				}
				if answer.Hidden > 0 {
					return faint(q.out, "(other) is %s; -limit shows more", counted(answer.Hidden, "more value")+" of "+fmt.Sprintf("%q", *by))
				}
				return nil
			}
		},
	}
}

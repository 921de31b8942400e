// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	server := answers(t, 200, `{"events":[
		{"time_ms":1795255200000,"host":"node-1","kind":"oom","title":"killed shop","value":1,"labels":{"pid":"7","process":"shop","service":"shop","zone":"b","a":"1"}},
		{"time_ms":1795255100000,"host_id":"42","value":2,"labels":{}}],"hidden":3}`, nil)
	want := `time                 count  event             host    service  process  labels
2026-11-21 10:00:00      1  oom: killed shop  node-1  shop     shop 7   a=1 zone=b
2026-11-21 09:58:20      2  event             42
3 more; -limit shows more
`
	status, got := ran(t, "events", "-server", server)
	if d := cmp.Diff(want, got); status != exitOK || d != "" {
		t.Errorf("status %d (-want +got):\n%s", status, d)
	}
}

// TestCompleteCommands completes what help is asked of, and the sorts of a command.
func TestCompleteCommands(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"help ev":              "events",
		"executables -sort un": "unnamed",
		"top -sort un":         "",
		"help top -":           "",
		"help watch t":         "top",
		"executables -o js":    "json",
	} {
		c := &completer{ctx: t.Context()}
		found := c.complete(strings.Split(line, " "))
		switch {
		case want == "" && len(found) > 0, want != "" && (len(found) == 0 || found[0].text != want):
			t.Errorf("%s: %v, want %q", line, found, want)
		}
	}
}

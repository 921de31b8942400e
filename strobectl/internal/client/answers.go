// SPDX-License-Identifier: Apache-2.0

package client

// The answers of the API as docs/api.md describes them, as far as they are shown.

// Summary is what every answer of values says.
type Summary struct {
	Type     string `json:"type"`
	Unit     string `json:"unit"`
	Snapshot bool   `json:"snapshot"`
	FromMs   int64  `json:"from_ms"`
	ToMs     int64  `json:"to_ms"`
	Total    int64  `json:"total"`
	Samples  int64  `json:"samples"`
	Excluded int64  `json:"excluded"`
	Coverage struct {
		ResolutionMs int64 `json:"resolution_ms"`
		FromMs       int64 `json:"from_ms"`
		ToMs         int64 `json:"to_ms"`
		HorizonMs    int64 `json:"horizon_ms"`
	} `json:"coverage"`
	Symbolized    *float64 `json:"symbolized"`
	UnknownStacks int64    `json:"unknown_stacks"`
}

// Function is a row of a table of functions.
type Function struct {
	Name      string `json:"name"`
	File      string `json:"file"`
	Binary    string `json:"binary"`
	Kind      string `json:"kind"`
	Line      int64  `json:"line,omitempty"`
	Self      int64  `json:"self"`
	Total     int64  `json:"total"`
	BaseSelf  int64  `json:"base_self,omitempty"`
	BaseTotal int64  `json:"base_total,omitempty"`
	Growth    int64  `json:"growth,omitempty"`
}

// Top is the answer of top.
type Top struct {
	Summary
	Rows   []Function `json:"rows"`
	Hidden int        `json:"hidden"`
}

// Columns are the frames of a tree.
type Columns struct {
	Name    []int `json:"name"`
	File    []int `json:"file"`
	Line    []int `json:"line"`
	Binary  []int `json:"binary"`
	Kind    []int `json:"kind"`
	Inlined []int `json:"inlined"`
}

// Nodes are the nodes of a tree in preorder.
type Nodes struct {
	Frame     []int   `json:"frame"`
	Depth     []int   `json:"depth"`
	Self      []int64 `json:"self"`
	Total     []int64 `json:"total"`
	BaseSelf  []int64 `json:"base_self"`
	BaseTotal []int64 `json:"base_total"`
}

// Hidden is what a limit cut off.
type Hidden struct {
	Nodes int   `json:"nodes"`
	Rows  int   `json:"rows"`
	Value int64 `json:"value"`
}

// FlameGraph is the answer of flamegraph.
type FlameGraph struct {
	Summary
	Strings []string `json:"strings"`
	Frames  Columns  `json:"frames"`
	Nodes   Nodes    `json:"nodes"`
	Hidden  Hidden   `json:"hidden"`
}

// Diff is the answer of diff.
type Diff struct {
	FlameGraph
	Base  Summary    `json:"base"`
	Scale float64    `json:"scale"`
	Rows  []Function `json:"rows"`
}

// Matched is the functions that a pattern matches.
type Matched struct {
	Self            int64      `json:"self"`
	Value           int64      `json:"value"`
	Functions       []Function `json:"functions"`
	HiddenFunctions int        `json:"hidden_functions"`
}

// Side is a tree of a sandwich.
type Side struct {
	Frames Columns `json:"frames"`
	Nodes  Nodes   `json:"nodes"`
	Hidden Hidden  `json:"hidden"`
}

// Sandwich is the answer of sandwich.
type Sandwich struct {
	Summary
	Function Matched  `json:"function"`
	Strings  []string `json:"strings"`
	Callers  Side     `json:"callers"`
	Callees  Side     `json:"callees"`
}

// Lines is the answer of lines.
type Lines struct {
	Summary
	Function Matched    `json:"function"`
	Lines    []Function `json:"lines"`
	Hidden   int        `json:"hidden"`
}

// Timeline is the answer of timeline.
type Timeline struct {
	Summary
	StepMs int64  `json:"step_ms"`
	FromMs int64  `json:"from_ms"`
	ToMs   int64  `json:"to_ms"`
	By     string `json:"by"`
	Series []struct {
		Name   string  `json:"name"`
		Values []int64 `json:"values"`
	} `json:"series"`
	Hidden int `json:"hidden"`
}

// Labels is the answer of labels.
type Labels struct {
	Labels []struct {
		Name    string `json:"name"`
		Builtin bool   `json:"builtin"`
	} `json:"labels"`
}

// Values is the answer of labels/{name}/values.
type Values struct {
	Values []struct {
		Value   string `json:"value"`
		Samples int64  `json:"samples"`
		Sum     int64  `json:"sum"`
	} `json:"values"`
	Hidden int `json:"hidden"`
}

// Types is the answer of types.
type Types struct {
	Types []struct {
		Type    string `json:"type"`
		Unit    string `json:"unit"`
		Samples int64  `json:"samples"`
		Sum     int64  `json:"sum"`
	} `json:"types"`
}

// Executable is a file with code.
type Executable struct {
	FileID      string  `json:"file_id"`
	BuildID     string  `json:"build_id"`
	Name        string  `json:"name"`
	Path        string  `json:"path"`
	Kind        string  `json:"kind"`
	Runtime     string  `json:"runtime"`
	Self        int64   `json:"self"`
	Value       int64   `json:"value"`
	Unnamed     int64   `json:"unnamed"`
	Frames      int64   `json:"frames"`
	NamedFrames int64   `json:"named_frames"`
	LineFrames  int64   `json:"line_frames"`
	Symbolized  float64 `json:"symbolized"`
}

// Executables is the answer of executables.
type Executables struct {
	Summary
	Executables      []Executable `json:"executables"`
	Hidden           int          `json:"hidden"`
	UnnamedElsewhere int64        `json:"unnamed_elsewhere"`
}

// Event is what happened to a host.
type Event struct {
	TimeMs   int64             `json:"time_ms"`
	Host     string            `json:"host"`
	HostID   string            `json:"host_id"`
	Kind     string            `json:"kind"`
	Title    string            `json:"title"`
	Value    int64             `json:"value"`
	Labels   map[string]string `json:"labels"`
	Stack    string            `json:"stack"`
	HasStack bool              `json:"has_stack"`
}

// Events is the answer of events.
type Events struct {
	Summary
	Events []Event `json:"events"`
	Hidden int     `json:"hidden"`
}

// Limitation is what is off on a host.
type Limitation struct {
	Name   string `json:"name"`
	Effect string `json:"effect"`
	Fix    string `json:"fix"`
}

// Spool is the buffer of an agent on its disk.
type Spool struct {
	State    string `json:"state"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Batches  int64  `json:"batches"`
}

// Host is a host and its agent.
type Host struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Version       string            `json:"version"`
	Kernel        string            `json:"kernel"`
	Metadata      map[string]string `json:"metadata"`
	LastSeenMs    int64             `json:"last_seen_ms"`
	ReportedMs    int64             `json:"reported_ms"`
	StartedMs     int64             `json:"started_ms"`
	ClockOffsetMs int64             `json:"clock_offset_ms"`
	State         string            `json:"state"`
	LastError     string            `json:"last_error"`
	Limitations   []Limitation      `json:"limitations"`
	Queued        int64             `json:"queued"`
	Spooled       int64             `json:"spooled"`
	Dropped       int64             `json:"dropped"`
	Spool         *Spool            `json:"spool"`
}

// Hosts is the answer of hosts.
type Hosts struct {
	NowMs  int64  `json:"now_ms"`
	Hosts  []Host `json:"hosts"`
	Hidden int    `json:"hidden"`
}

// Ledger is the part of the answer of ledger that is about all hosts.
type Ledger struct {
	Server struct {
		Received  int64            `json:"received"`
		Stored    int64            `json:"stored"`
		Duplicate int64            `json:"duplicate"`
		Refused   map[string]int64 `json:"refused"`
	} `json:"server"`
	Agents struct {
		Captured int64            `json:"captured"`
		Stored   int64            `json:"stored"`
		Queued   int64            `json:"queued"`
		Spooled  int64            `json:"spooled"`
		Dropped  map[string]int64 `json:"dropped"`
	} `json:"agents"`
	Unaccounted int64 `json:"unaccounted"`
	Lost        struct {
		Samples int64 `json:"samples"`
		Hosts   int64 `json:"hosts"`
	} `json:"lost"`
}

// Status is the answer of status.
type Status struct {
	Version string `json:"version"`
	NowMs   int64  `json:"now_ms"`
	Project string `json:"project"`
	Store   *struct {
		Engine      string           `json:"engine"`
		Samples     int64            `json:"samples"`
		Bytes       map[string]int64 `json:"bytes"`
		LimitBytes  int64            `json:"limit_bytes"`
		OldestMs    int64            `json:"oldest_ms"`
		NewestMs    int64            `json:"newest_ms"`
		Stacks      int64            `json:"stacks"`
		Symbols     int64            `json:"symbols"`
		Executables int64            `json:"executables"`
		Hosts       int64            `json:"hosts"`
	} `json:"store"`
	Types []struct {
		Type     string `json:"type"`
		Unit     string `json:"unit"`
		Snapshot bool   `json:"snapshot"`
	} `json:"types"`
	Incomplete string `json:"incomplete"`
}

// SPDX-License-Identifier: Apache-2.0

package tracertest

import (
	"bufio"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed testdata/*.json
var expectationFiles embed.FS

// Expectation is what a profile of a subject must show.
type Expectation struct {
	Name string `json:"name"`
	// Comm matches the names of the subject's threads.
	Comm string `json:"comm"`
	// Root are functions of which one must be in a stack that is complete.
	Root   []Pattern `json:"root"`
	Chains []Chain   `json:"chains"`
	// Exact forbids frames between those of a chain but for AllowBetween.
	Exact        bool    `json:"exact"`
	AllowBetween string  `json:"allow_between"`
	Counts       []Count `json:"count"`
	// Absent must not occur, because the compiler removed it from the stack.
	Absent []Pattern `json:"absent"`
	Depth  *struct {
		Min   int     `json:"min"`
		Max   int     `json:"max"`
		OKMin float64 `json:"ok_min"`
	} `json:"depth"`
	// Shares of the samples, 0 to 1: that must be complete, that must hold a
	// function of a chain; 0 means 0.95 and 0.9.
	CompleteMin float64 `json:"complete_min"`
	AnchoredMin float64 `json:"anchored_min"`
	// Tol is the tolerance of shares; 0 means 0.04.
	Tol float64 `json:"tol"`
	// Warm is how many seconds the subject must run before it is profiled.
	Warm float64 `json:"warm"`
}

// Chain is a sequence of functions from root to leaf.
type Chain struct {
	ID     string    `json:"id"`
	Frames []Pattern `json:"frames"`
	// Anchor tells the samples that must show the chain; the last frame if unset.
	Anchor Pattern `json:"anchor"`
	// Share of the samples that hold any chain's anchor, or of all.
	Share    float64 `json:"share"`
	Of       string  `json:"of"`
	Tol      float64 `json:"tol"`
	Exact    *bool   `json:"exact"`
	ChainMin float64 `json:"chain_min"`
	Bonus    bool    `json:"bonus"`
}

// Count is how often a function must occur in stacks that hold another.
type Count struct {
	Frame  Pattern `json:"frame"`
	Anchor Pattern `json:"anchor"`
	Exact  int     `json:"exact"`
	// Slack is how many fewer are right too: where the compiler says of an inlined
	// call at the leaf only that it is somewhere in the caller.
	Slack int `json:"slack"`
}

// Pattern matches a frame: a text as a whole word, or a regular expression.
type Pattern struct {
	re   *regexp.Regexp
	text string
}

// UnmarshalJSON reads "text" or {"re": "expression"}.
func (p *Pattern) UnmarshalJSON(b []byte) error {
	var o struct {
		Re string `json:"re"`
	}
	if json.Unmarshal(b, &p.text) == nil {
		// Go has no look-behind: the class takes the neighbour instead.
		o.Re = `(?:^|[^A-Za-z0-9_$])` + regexp.QuoteMeta(p.text) + `(?:$|[^A-Za-z0-9_$])`
	} else if err := json.Unmarshal(b, &o); err != nil {
		return err
	} else {
		p.text = o.Re
	}
	var err error
	p.re, err = regexp.Compile(o.Re)
	return err
}

func (p *Pattern) in(frames []string) bool {
	return slices.ContainsFunc(frames, p.re.MatchString)
}

// Expectations returns what is expected of all subjects, by name.
func Expectations() (map[string]*Expectation, error) {
	files, err := expectationFiles.ReadDir("testdata")
	if err != nil {
		return nil, fmt.Errorf("read expectations: %w", err)
	}
	out := map[string]*Expectation{}
	for _, file := range files {
		var all struct {
			Subjects []*Expectation `json:"subjects"`
		}
		b, err := expectationFiles.ReadFile("testdata/" + file.Name())
		if err == nil {
			err = json.Unmarshal(b, &all)
		}
		if err != nil {
			return nil, fmt.Errorf("read expectations in %s: %w", file.Name(), err)
		}
		for _, e := range all.Subjects {
			e.setDefaults()
			if out[e.Name] != nil {
				return nil, fmt.Errorf("%s: subject %q is there twice", file.Name(), e.Name)
			}
			out[e.Name] = e
		}
	}
	return out, nil
}

func (e *Expectation) setDefaults() {
	if e.CompleteMin == 0 {
		e.CompleteMin = 0.95
	}
	if e.AnchoredMin == 0 {
		e.AnchoredMin = 0.9
	}
	if e.Tol == 0 {
		e.Tol = 0.04
	}
}

// Report is a judgement.
type Report struct {
	// Samples is how many samples the subject has, Complete how many reach a root.
	Samples, Complete int
	// Problems says what is wrong, nothing when the profile is right.
	Problems []string
}

type stack struct {
	frames []string
	n      int
}

var kernelSuffix = regexp.MustCompile(`_\[[kjiwp0-9]\]$`)

// minSamples is the least that a judgement can be based on.
const minSamples = 40

// Judge compares folded stacks (comm;outermost;…;innermost COUNT) with what is
// expected. Lines of other programs are left out.
func Judge(e *Expectation, folded io.Reader) (Report, error) {
	stacks, err := readFolded(e, folded)
	if err != nil {
		return Report{}, err
	}
	var r Report
	problem := func(format string, a ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, a...)) }
	for _, s := range stacks {
		r.Samples += s.n
		for i := range e.Root {
			if e.Root[i].in(s.frames) {
				r.Complete += s.n
				break
			}
		}
	}
	if r.Samples < minSamples {
		problem("only %d samples", r.Samples)
		return r, nil
	}
	n := float64(r.Samples)
	below := func(part, need float64) bool { return part < need-3*math.Sqrt(need*(1-need)/n) }
	if part := float64(r.Complete) / n; below(part, e.CompleteMin) {
		problem("%.1f %% of the stacks reach a root, need %.0f %%", 100*part, 100*e.CompleteMin)
	}
	judgeChains(e, stacks, r.Samples, below, problem)
	judgeCounts(e, stacks, problem)
	for i := range e.Absent {
		if seen := sum(stacks, &e.Absent[i]); float64(seen)/n > 0.02 {
			problem("%s should never be on a stack, is in %d of %d", e.Absent[i].text, seen, r.Samples)
		}
	}
	if d := e.Depth; d != nil {
		good := 0
		for _, s := range stacks {
			if len(s.frames) >= d.Min && len(s.frames) <= d.Max {
				good += s.n
			}
		}
		if float64(good)/n < d.OKMin {
			problem("%d of %d stacks are %d to %d frames deep", good, r.Samples, d.Min, d.Max)
		}
	}
	return r, nil
}

func readFolded(e *Expectation, folded io.Reader) ([]stack, error) {
	comm, err := regexp.Compile(e.Comm)
	if err != nil {
		return nil, fmt.Errorf("expectation %s: comm: %w", e.Name, err)
	}
	var out []stack
	s := bufio.NewScanner(folded)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			return nil, fmt.Errorf("folded line %q has no count", line)
		}
		n, err := strconv.Atoi(line[i+1:])
		if err != nil {
			return nil, fmt.Errorf("folded line %q: count: %w", line, err)
		}
		frames := strings.Split(line[:i], ";")
		if !comm.MatchString(frames[0]) {
			continue
		}
		frames = frames[1:]
		for k := range frames {
			frames[k] = kernelSuffix.ReplaceAllString(frames[k], "")
		}
		out = append(out, stack{frames, n})
	}
	return out, s.Err()
}

func sum(stacks []stack, p *Pattern) int {
	n := 0
	for _, s := range stacks {
		if p.in(s.frames) {
			n += s.n
		}
	}
	return n
}

func judgeChains(e *Expectation, stacks []stack, samples int, below func(part, need float64) bool, problem func(string, ...any)) {
	if len(e.Chains) == 0 {
		return
	}
	var allow *regexp.Regexp
	if e.AllowBetween != "" {
		allow = regexp.MustCompile(e.AllowBetween)
	}
	anchors := make([]*Pattern, len(e.Chains))
	for i := range e.Chains {
		c := &e.Chains[i]
		if anchors[i] = &c.Anchor; c.Anchor.re == nil {
			anchors[i] = &c.Frames[len(c.Frames)-1]
		}
	}
	hits, whole, anchored := make([]int, len(e.Chains)), make([]int, len(e.Chains)), 0
	for _, s := range stacks {
		found := false
		for i := range e.Chains {
			if !anchors[i].in(s.frames) {
				continue
			}
			found = true
			hits[i] += s.n
			exact := e.Exact
			if x := e.Chains[i].Exact; x != nil {
				exact = *x
			}
			if follows(s.frames, e.Chains[i].Frames, exact, allow) {
				whole[i] += s.n
			}
		}
		if found {
			anchored += s.n
		}
	}
	if part := float64(anchored) / float64(samples); below(part, e.AnchoredMin) {
		problem("%.1f %% of the samples hold a known function, need %.0f %%", 100*part, 100*e.AnchoredMin)
	}
	for i := range e.Chains {
		c := &e.Chains[i]
		if c.Bonus {
			continue
		}
		need := c.ChainMin
		if need == 0 {
			need = 0.95
		}
		switch part := float64(whole[i]) / math.Max(1, float64(hits[i])); {
		case hits[i] == 0:
			problem("%s: never seen", c.ID)
			continue
		case part < need:
			problem("%s: callers are right in %.1f %%, need %.0f %%", c.ID, 100*part, 100*need)
		}
		if c.Share == 0 {
			continue
		}
		base := float64(anchored)
		if c.Of == "all" {
			base = float64(samples)
		}
		tol := e.Tol
		if c.Tol != 0 {
			tol = c.Tol
		}
		tol = math.Max(tol, 4*math.Sqrt(c.Share*(1-c.Share)/math.Max(1, base)))
		if got := float64(hits[i]) / math.Max(1, base); math.Abs(got-c.Share) > tol {
			problem("%s: share is %.1f %%, expected %.0f ± %.1f %%", c.ID, 100*got, 100*c.Share, 100*tol)
		}
	}
}

func judgeCounts(e *Expectation, stacks []stack, problem func(string, ...any)) {
	for i := range e.Counts {
		c := &e.Counts[i]
		seen, right := 0, 0
		example := -1
		for _, s := range stacks {
			if !c.Anchor.in(s.frames) {
				continue
			}
			n := 0
			for _, f := range s.frames {
				if c.Frame.re.MatchString(f) {
					n++
				}
			}
			seen += s.n
			if n <= c.Exact && n >= c.Exact-c.Slack {
				right += s.n
			} else {
				example = n
			}
		}
		if seen == 0 || float64(right) < 0.95*float64(seen) {
			problem("%s occurs %d times in %d of %d stacks (elsewhere %d times)", c.Frame.text, c.Exact, right, seen, example)
		}
	}
}

// follows reports whether the patterns occur in order. With exact, only frames
// that match allow may stand between two of them.
func follows(frames []string, patterns []Pattern, exact bool, allow *regexp.Regexp) bool {
	var from func(p, at int) bool
	from = func(p, at int) bool {
		if p == len(patterns) {
			return true
		}
		for i := at; i < len(frames); i++ {
			if patterns[p].re.MatchString(frames[i]) && from(p+1, i+1) {
				return true
			}
			if exact && p > 0 && (allow == nil || !allow.MatchString(frames[i])) {
				return false
			}
		}
		return false
	}
	return from(0, 0)
}

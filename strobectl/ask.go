// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

const defaultServer = "http://127.0.0.1:7070"

// ask is the flags that commands share.
type ask struct {
	server, tokenFile, project, caFile, color string
	timeout                                   time.Duration

	typ, query, from, to, frames, hide string

	output string
	limit  int
	file   string
}

// connection declares the flags that say which server is asked, and how it is shown.
func (a *ask) connection(flags *flag.FlagSet) {
	flags.StringVar(&a.server, "server", "", "`URL` of the collection agent (default $STROBE_URL, else "+defaultServer+")")
	flags.StringVar(&a.tokenFile, "token-file", "", "`file` with the token, for a server that needs one (default $STROBE_TOKEN_FILE)")
	flags.StringVar(&a.project, "project", "", "project to ask about, with a token of all `projects`")
	flags.StringVar(&a.caFile, "ca-file", "", "`file` with the certificates that vouch for the server (default those of the system)")
	flags.DurationVar(&a.timeout, "timeout", answerTimeout, "`time` that the server may be silent before it is given up, 0 for ever")
	a.colour(flags)
}

// answerTimeout is twice what a server takes for a question if nobody told it otherwise.
const answerTimeout = 2 * time.Minute

func (a *ask) colour(flags *flag.FlagSet) {
	flags.StringVar(&a.color, "color", "auto", "`when` to use colours: auto, always or never; NO_COLOR turns them off, too")
}

// selection declares the flags that say what is asked about.
func (a *ask) selection(flags *flag.FlagSet, from string) {
	a.times(flags, from)
	flags.StringVar(&a.typ, "type", "", "`type` of samples, such as off_cpu; strobectl types lists them (default on_cpu)")
	flags.StringVar(&a.query, "query", "", "`selector` such as '{service=\"shop\"}'; arguments such as service=shop do the same")
	flags.StringVar(&a.frames, "frames", "", "only stacks with such frames, a list of `patterns` such as '{function*=\"malloc\"}'")
	flags.StringVar(&a.hide, "hide", "", "`pattern` of frames to leave out")
}

func (a *ask) times(flags *flag.FlagSet, from string) {
	flags.StringVar(&a.from, "from", from, "start of the range: a `time` as now-1h, 1h, 2026-11-21T10:00:00Z, or seconds since 1970")
	flags.StringVar(&a.to, "to", "now", "end of the range, a `time`")
}

// out declares -o; kinds are its values.
func (a *ask) out(flags *flag.FlagSet, kinds string) {
	flags.StringVar(&a.output, "o", "", "`output`: "+kinds)
}

// asJSON reports whether the answer is wanted as the server gave it.
func (a *ask) asJSON() bool { return a.output == "json" }

// tableOrJSON checks -o where it is nothing else.
func (a *ask) tableOrJSON() error {
	switch a.output {
	case "", "table", "text", "json":
		return nil
	}
	return misuse("-o: %q is not an output: expected table or json", a.output)
}

// terminal returns where answers are shown.
func (a *ask) terminal(in *call) (*term.Out, error) {
	switch a.color {
	case "auto", "always", "never":
		return term.NewOut(in.stdout, a.color, os.Getenv), nil
	}
	return nil, misuse("-color: %q is not known: expected auto, always or never", a.color)
}

// client returns what asks the server.
func (a *ask) client() (*client.Client, error) {
	if a.timeout < 0 {
		return nil, misuse("-timeout: %s is less than nothing", a.timeout)
	}
	c, err := client.New(client.Options{
		Server:    cmp.Or(a.server, os.Getenv("STROBE_URL"), defaultServer),
		TokenFile: cmp.Or(a.tokenFile, os.Getenv("STROBE_TOKEN_FILE")),
		Project:   a.project, CAFile: a.caFile, Timeout: a.timeout,
	})
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	return c, nil
}

// matcher is an argument such as service=shop or comm=~worker.*.
var matcher = regexp.MustCompile(`^([\p{L}_][\p{L}\p{N}_./-]*)(=~|!~|!=|=)(.*)$`)

// selector returns the selector of the flag and the arguments together.
func selector(query string, args []string) (string, error) {
	var parts []string
	add := func(text string) error {
		text = strings.TrimSpace(text)
		inner, ok := strings.CutPrefix(text, "{")
		if ok {
			inner, ok = strings.CutSuffix(inner, "}")
		}
		if !ok {
			return errors.New("no braces")
		}
		if inner = strings.Trim(strings.TrimSpace(inner), ","); inner != "" {
			parts = append(parts, inner)
		}
		return nil
	}
	if query != "" {
		if len(args) == 0 {
			return query, nil // the server says where it is wrong
		}
		if err := add(query); err != nil {
			return "", misuse("-query: %q is no selector, as {service=\"shop\"}", query)
		}
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "{") {
			if len(args) == 1 && query == "" {
				return arg, nil
			}
			if err := add(arg); err != nil {
				return "", misuse("%q is no selector, as {service=\"shop\"}", arg)
			}
			continue
		}
		m := matcher.FindStringSubmatch(arg)
		if m == nil {
			return "", misuse("%q says not what to select: write LABEL=VALUE, as service=%s, or a selector in braces", arg, arg)
		}
		value := m[3]
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		parts = append(parts, m[1]+m[2]+strconv.Quote(value))
	}
	if len(parts) == 0 {
		return "", nil
	}
	return "{" + strings.Join(parts, ",") + "}", nil
}

// shortTime is 1h, which means an hour ago.
var shortTime = regexp.MustCompile(`^(\d+(\.\d+)?(ms|s|m|h|d|w|y))+$`)

// ago turns a short time into one of the server's.
func ago(time string) string {
	if shortTime.MatchString(time) {
		return "now-" + time
	}
	return time
}

// values returns the parameters of a selection. What is not given is not sent: the
// server has its defaults.
func (a *ask) values(args []string) (url.Values, error) {
	query, err := selector(a.query, args)
	if err != nil {
		return nil, err
	}
	v := url.Values{}
	for name, value := range map[string]string{
		"type": a.typ, "query": query, "from": ago(a.from), "to": ago(a.to), "frames": a.frames, "hide": a.hide,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v, nil
}

// question is one that is ready to be asked.
type question struct {
	*ask
	in     *call
	out    *term.Out
	client *client.Client
	values url.Values
}

// question reads the flags and the arguments, which are selectors.
func (a *ask) question(in *call) (*question, error) {
	v, err := a.values(in.args)
	if err != nil {
		return nil, err
	}
	return a.questionWith(in, v)
}

func (a *ask) questionWith(in *call, v url.Values) (*question, error) {
	out, err := a.terminal(in)
	if err != nil {
		return nil, err
	}
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return &question{ask: a, in: in, out: out, client: c, values: v}, nil
}

// get asks, reads the answer into a value, and prints it as it came where JSON is
// wanted: then done is true.
func (q *question) get(endpoint string, into any) (done bool, err error) {
	p := startProgress(q.in, "asking "+q.client.Server())
	answer, err := q.client.JSON(q.in.ctx, endpoint, q.values, into)
	p.end()
	if err != nil {
		return false, err
	}
	if why := answer.Header.Get("Strobe-Incomplete"); why != "" {
		_, _ = fmt.Fprintf(q.in.stderr, "not all is here yet: %s\n", term.Clean(why))
	}
	if !q.asJSON() {
		return false, nil
	}
	return true, writeAnswer(q.in.stdout, answer.Body)
}

// writeAnswer prints an answer of the server as it is, on a line of its own.
func writeAnswer(w io.Writer, body []byte) error {
	_, err := w.Write(append(bytes.TrimRight(body, "\n"), '\n'))
	return err
}

// picture is -o of commands that write files: what is wanted, and where. A name of a
// format without a file goes to the standard output.
func picture(output string) (format, file string, err error) {
	switch output {
	case "", "text", "table", "json":
		return "", "", nil
	case "-":
		return "", "", misuse("-o: say which format goes to the standard output: %s", strings.Join(files.Formats, ", "))
	}
	if format = files.ByName(output); format == "" {
		return "", "", misuse("-o: it is not clear what format %q is: end the name in .pb.gz, .folded, .speedscope.json, .otlp, .csv, .svg or .html", output)
	}
	if format == output {
		return format, "-", nil
	}
	return format, output, nil
}

// writeTo writes a file, or the standard output for -. A file that could not be
// written as a whole is not left behind.
func writeTo(in *call, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(in.stdout)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := replaceFile(name, b.Bytes(), 0o600); err != nil { // it tells what runs on the hosts
		return err
	}
	_, _ = fmt.Fprintf(in.stderr, "wrote %s (%s)\n", name, bytesOf(b.Len()))
	return nil
}

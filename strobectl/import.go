// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/files"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

func importCommand() *command {
	return &command{
		name:     "import",
		operands: "-service NAME FILE...",
		summary:  "Send profiles from files to the server.",
		help: `
FILE is of pprof, folded stacks, speedscope or OTLP (an ExportProfilesServiceRequest),
plain or gzipped; - is the standard input. A message of OTLP says itself what it is
of; -service and -label are added to it. On a server with tokens that of -token-file
must have the role ingest.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			a := &ask{}
			a.connection(flags)
			i := &importFlags{}
			flags.StringVar(&i.service, "service", "", "`name` of what was profiled")
			flags.Var(&i.labels, "label", "label of all samples, `NAME=VALUE`; may be repeated")
			flags.StringVar(&i.at, "at", "", "`time` when the profile began (default what the file says, else now)")
			flags.StringVar(&i.format, "format", "", "`format`: pprof, folded, speedscope or otlp (default what the file looks like)")
			flags.StringVar(&i.typ, "type", "", "`type` of folded stacks and of speedscope, such as wall (default on_cpu)")
			flags.IntVar(&i.rate, "rate", 0, "samples per second that folded stacks were taken with (default 100)")
			return func(in *call) error { return runImport(in, a, i) }
		},
	}
}

type importFlags struct {
	service, at, format, typ string
	labels                   attributes
	rate                     int
}

func runImport(in *call, a *ask, i *importFlags) error {
	switch {
	case len(in.args) == 0:
		return misuse("expected files, or - for the standard input")
	case i.rate < 0:
		return misuse("-rate: %d is no rate", i.rate)
	}
	switch i.format {
	case "", files.Pprof, files.Folded, files.Speedscope, files.OTLP:
	default:
		return misuse("-format: %q is not read: expected pprof, folded, speedscope or otlp", i.format)
	}
	v := url.Values{}
	for _, l := range i.labels {
		v.Set(l.GetKey(), l.GetValue().GetStringValue())
	}
	q, err := a.questionWith(in, v)
	if err != nil {
		return err
	}
	var errs error
	for _, name := range in.args {
		if err := q.importFile(name, i); err != nil {
			if _, ok := errors.AsType[*usageError](err); ok {
				return err
			}
			errs = errors.Join(errs, fmt.Errorf("%s: %w", name, err))
			if in.ctx.Err() != nil {
				break
			}
		}
	}
	return errs
}

func (q *question) importFile(name string, i *importFlags) error {
	data, err := readInput(q.in, name)
	if err != nil {
		return err
	}
	plain, err := files.Unpack(data)
	if err != nil {
		return err
	}
	format := i.format
	if format == "" {
		format = files.Detect(plain)
	}
	v := url.Values{}
	for key := range q.values {
		v.Set(key, q.values.Get(key))
	}
	if format == files.OTLP {
		return q.importOTLP(name, plain, i)
	}
	if i.service == "" {
		return misuse("%s does not say what was profiled: add -service NAME", name)
	}
	v.Set("service", i.service)
	if i.at != "" {
		v.Set("time", ago(i.at))
	}
	body := data
	switch format {
	case files.Folded:
		v.Set("format", "folded")
		body = plain
	case files.Speedscope:
		t, err := files.Read(plain, "")
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := files.WriteFolded(&b, t); err != nil {
			return err
		}
		body = b.Bytes()
		v.Set("format", "folded")
		v.Set("type", t.Type)
		switch t.Unit {
		case "nanoseconds":
			v.Set("unit", "ns")
		case "bytes":
			v.Set("type", "alloc_space")
		default:
			v.Set("type", "on_cpu")
		}
	case files.Pprof:
		v.Set("format", "pprof")
	default:
		return errors.New("the file is empty")
	}
	if i.typ != "" {
		if format == files.Pprof {
			return misuse("-type is for folded stacks and speedscope: pprof says itself what it holds")
		}
		v.Set("type", i.typ)
	}
	if i.rate > 0 {
		v.Set("sample_rate", strconv.Itoa(i.rate))
	}
	err = q.send(name, "/api/v1/upload", v, "application/octet-stream", body)
	if format == files.Pprof && tooLarge(err) {
		return q.sendParts(name, v, plain, 1)
	}
	return err
}

// tooLarge reports whether a server would take a part of what it refused.
func tooLarge(err error) bool {
	var refused *client.Error
	return errors.As(err, &refused) && (refused.Status == http.StatusRequestEntityTooLarge || strings.Contains(refused.Message, "send it in parts"))
}

// sendParts sends a profile that is too large for the server in halves, and those in
// halves, if it must be.
func (q *question) sendParts(name string, v url.Values, data []byte, depth int) error {
	const deepest = 8
	halves, err := files.Halve(data)
	if err != nil {
		return err
	}
	for _, half := range halves {
		err := q.send(fmt.Sprintf("%s, part of %d samples", name, half.Samples), "/api/v1/upload", v, "application/octet-stream", half.Data)
		if tooLarge(err) && depth < deepest && half.Samples > 1 {
			err = q.sendParts(name, v, half.Data, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// importOTLP sends a message, with what the flags add to its resources.
func (q *question) importOTLP(name string, data []byte, i *importFlags) error {
	if i.at != "" || i.typ != "" || i.rate != 0 {
		return misuse("-at, -type and -rate are not for OTLP, which says that itself")
	}
	req, err := otlpcheck.Decode(data, otlpcheck.Limits{})
	if err != nil {
		return fmt.Errorf("neither pprof, folded stacks, speedscope nor OTLP: %w", err)
	}
	add := i.labels
	if i.service != "" {
		_ = add.Set("service.name=" + i.service) // has a key and a value
	}
	for _, r := range req.GetResourceProfiles() {
		if r.Resource == nil {
			r.Resource = &resource.Resource{}
		}
		for _, kv := range add {
			r.Resource.Attributes = replaceAttribute(r.Resource.Attributes, kv)
		}
	}
	body, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	return q.send(name, "/v1development/profiles", nil, "application/x-protobuf", body)
}

func replaceAttribute(list []*common.KeyValue, kv *common.KeyValue) []*common.KeyValue {
	for _, old := range list {
		if old.GetKey() == kv.GetKey() && kv.GetKey() != "" {
			old.Value = kv.Value
			return list
		}
	}
	return append(list, kv)
}

func (q *question) send(name, path string, v url.Values, contentType string, body []byte) error {
	p := startProgress(q.in, "sending "+name)
	defer p.end()
	answer, err := q.client.Post(q.in.ctx, path, v, contentType, io.LimitReader(p.reader(bytes.NewReader(body), int64(len(body))), int64(len(body))))
	if err != nil {
		return err
	}
	p.end()
	note := ""
	if text := strings.TrimSpace(string(answer.Body)); strings.Contains(text, "essage") && contentType != "application/x-protobuf" {
		note = ": " + term.Clean(text[:min(len(text), 1000)])
	}
	_, err = fmt.Fprintf(q.in.stderr, "%s: sent %s to %s%s\n", name, bytesOf(len(body)), q.client.Server(), note)
	return err
}

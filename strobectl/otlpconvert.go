// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/otlpcheck"
	"github.com/strobe-profiler/strobe/proto/otlppprof"
)

func otlpConvertCommand() *command {
	return &command{
		name:     "convert",
		operands: "-to FORMAT FILE",
		summary:  "Turn a pprof profile into a message of OpenTelemetry, or back.",
		help: `
FILE is what the other format says, plain or compressed; - is the standard input.
OpenTelemetry is written as an ExportProfilesServiceRequest in protocol buffer
form, pprof gzipped. A message may hold profiles of many processes: those with the
same types of samples become one, with the attributes of their resources as
labels. Where several kinds are left, -type says which, such as off_cpu.`,
		setup: func(flags *flag.FlagSet) func(*call) error {
			to := flags.String("to", "", "`format` to write: otlp or pprof")
			out := flags.String("out", "-", "`file` to write; - is the standard output")
			typ := flags.String("type", "", "`type` of samples to write as pprof")
			maxBytes := flags.Int64("max-bytes", otlpcheck.DefaultMaxBytes, "largest input in `bytes`, when it is decompressed")
			var resource attributes
			flags.Var(&resource, "resource", "attribute of the resource to write as OpenTelemetry, `KEY=VALUE`; may be repeated")
			frameType := flags.String("frame-type", "", "profile.frame.type of all frames to write as OpenTelemetry, a `name` such as go")
			return func(in *call) error {
				switch {
				case len(in.args) != 1:
					return misuse("expected one file, or - for the standard input")
				case *maxBytes < 1:
					return misuse("-max-bytes: %d is too few: expected 1 or more", *maxBytes)
				case *to == "pprof" && (len(resource) > 0 || *frameType != ""):
					return misuse("-resource and -frame-type are for -to otlp")
				case *to == "otlp" && *typ != "":
					return misuse("-type is for -to pprof")
				}
				var convert func(data []byte) ([]byte, error)
				switch *to {
				case "otlp":
					convert = func(data []byte) ([]byte, error) {
						return toOTLP(data, *maxBytes, otlppprof.Options{Resource: resource, FrameType: *frameType})
					}
				case "pprof":
					convert = func(data []byte) ([]byte, error) { return toPprof(data, *maxBytes, *typ) }
				default:
					return misuse("-to: %q is not a format: expected otlp or pprof", *to)
				}
				data, err := readFile(in, in.args[0], *maxBytes)
				if err != nil {
					return err
				}
				if data, err = convert(data); err != nil {
					return fmt.Errorf("%s: %w", in.args[0], err)
				}
				return writeFile(in.stdout, *out, data)
			}
		},
	}
}

// attributes is a flag that may be repeated.
type attributes []*common.KeyValue

func (a *attributes) String() string { return "" }

// Set implements flag.Value.
func (a *attributes) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("expected KEY=VALUE")
	}
	*a = append(*a, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}})
	return nil
}

func writeFile(stdout io.Writer, name string, data []byte) error {
	if name == "-" {
		_, err := stdout.Write(data)
		return err
	}
	return replaceFile(name, data, 0o600) // it tells what runs on the hosts
}

func toOTLP(data []byte, maxBytes int64, o otlppprof.Options) ([]byte, error) {
	memory := int64(0)
	p, err := otlppprof.Parse(data, otlppprof.Limits{MaxBytes: maxBytes, Charge: func(bytes int64) error {
		if memory += bytes; memory > otlpcheck.DefaultMaxMemory {
			return fmt.Errorf("%w: it would take about %d bytes of memory", otlppprof.ErrTooLarge, memory)
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	req, err := otlppprof.FromPprof(p, o)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(req)
}

func toPprof(data []byte, maxBytes int64, typ string) ([]byte, error) {
	req, err := otlpcheck.Decode(data, otlpcheck.Limits{MaxBytes: maxBytes})
	if err != nil {
		return nil, err
	}
	list, err := otlppprof.ToPprof(req, 0)
	if err != nil {
		return nil, err
	}
	p, err := oneOf(list, typ, len(req.GetResourceProfiles()) > 1)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		return nil, fmt.Errorf("write pprof profile: %w", err)
	}
	return out.Bytes(), nil
}

// oneOf merges the profiles with samples of a type, or of the only kind that there is.
func oneOf(list []otlppprof.Converted, typ string, label bool) (*profile.Profile, error) {
	byKind := map[string][]*profile.Profile{}
	var kinds []string
	for _, c := range list {
		if len(c.Profile.Sample) == 0 || typ != "" && !slices.ContainsFunc(c.Profile.SampleType, func(t *profile.ValueType) bool { return t.Type == typ }) {
			continue
		}
		if label {
			if err := c.LabelResource(); err != nil {
				return nil, err
			}
		}
		kind := kindOf(c.Profile)
		if byKind[kind] == nil {
			kinds = append(kinds, kind)
		}
		byKind[kind] = append(byKind[kind], c.Profile)
	}
	switch len(kinds) {
	case 0:
		if typ == "" {
			return nil, errors.New("there are no samples")
		}
		return nil, fmt.Errorf("there are no samples of the type %q (-type)", typ)
	case 1:
		return profile.Merge(byKind[kinds[0]])
	}
	return nil, fmt.Errorf("there are samples of %s: choose one with -type", strings.Join(kinds, " and "))
}

// kindOf says what a profile measures.
func kindOf(p *profile.Profile) string {
	var types []string
	for _, t := range p.SampleType {
		types = append(types, t.Type+"/"+t.Unit)
	}
	return strings.Join(types, ",")
}

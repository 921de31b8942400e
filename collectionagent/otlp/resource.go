// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"cmp"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// anyValue returns a value as text: "" for none, elements of lists with commas.
// Maps are left out.
func (d *decoder) anyValue(v *common.AnyValue, field func() string) (text string, err error) {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		text = v.StringValue
	case *common.AnyValue_StringValueStrindex:
		if v.StringValueStrindex < 0 || int(v.StringValueStrindex) >= len(d.texts) {
			return "", index(field()+".string_value_strindex", v.StringValueStrindex, "string_table", len(d.texts))
		}
		text = d.texts[v.StringValueStrindex]
	case *common.AnyValue_IntValue:
		text = strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		text = strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		text = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *common.AnyValue_BytesValue:
		if len(v.BytesValue) <= d.MaxTextBytes { // else too long below
			text = hex.EncodeToString(v.BytesValue)
		} else {
			return "", invalid(field(), "has %d bytes, at most %d are allowed", len(v.BytesValue), d.MaxTextBytes/2)
		}
	case *common.AnyValue_ArrayValue:
		for i, e := range v.ArrayValue.GetValues() {
			if e.GetArrayValue() != nil || e.GetKvlistValue() != nil {
				continue
			}
			one, err := d.anyValue(e, func() string { return at(field()+".array_value.values", i) })
			if err != nil {
				return "", err
			}
			if text += "," + one; len(text) > d.MaxTextBytes {
				break
			}
		}
		text = strings.TrimPrefix(text, ",")
	}
	if len(text) > d.MaxTextBytes {
		return "", invalid(field(), "has %d bytes, at most %d are allowed", len(text), d.MaxTextBytes)
	}
	return text, nil
}

// origin is where samples come from, as far as it is known.
type origin struct {
	series store.Series
	// process is process.executable.name, which is the best name for a service that
	// has none.
	container string
	node      string
	labels    map[string]string
	host      map[string]string
}

// unknownService is what SDKs say that were not told of which service they are.
const unknownService = "unknown_service"

// labelPrefix is what profilers put before labels that a program gave its threads.
const labelPrefix = "process.context.label."

// set sets what an attribute says.
func (o *origin) set(key, value string) {
	if key == "" || value == "" {
		return
	}
	s := &o.series
	switch key {
	case "service.name":
		if value != unknownService && !strings.HasPrefix(value, unknownService+":") {
			s.Service = value
		}
	case "host.name":
		s.Host = value
	case "host.id":
		s.HostID = value
	case "k8s.node.name":
		o.node = value
		o.label(key, value)
	case "k8s.namespace.name":
		s.Namespace = value
	case "k8s.pod.name":
		s.Pod = value
	case "k8s.container.name":
		s.Container = value
	case "container.name":
		o.container = value
	case "container.id":
		s.ContainerID = value
	case "process.executable.name":
		s.Process = value
	case "process.executable.path":
		s.Executable = value
	case "process.pid":
		if n, err := strconv.ParseUint(value, 10, 32); err == nil {
			s.PID = libpf.PID(n)
		}
	case "thread.name":
		s.Comm = value
	case "thread.id":
		if n, err := strconv.ParseUint(value, 10, 32); err == nil {
			s.TID = libpf.TID(n)
		}
	case "cpu.logical_number", "process.command_line", "process.command", "process.command_args":
		// different in each sample or process, and nothing to group by
	default:
		if strings.HasPrefix(key, "host.") || strings.HasPrefix(key, "os.") || strings.HasPrefix(key, "telemetry.") {
			if o.host == nil {
				o.host = make(map[string]string)
			}
			o.host[key] = value
			return
		}
		o.label(strings.TrimPrefix(key, labelPrefix), value)
	}
}

func (o *origin) label(key, value string) {
	if key == "" {
		return
	}
	if o.labels == nil {
		o.labels = make(map[string]string)
	}
	o.labels[key] = value
}

// resource reads the attributes of a resource.
func (d *decoder) resource(field string, r *resource.Resource) (*origin, error) {
	o := &origin{}
	if err := d.charge(field, len(r.GetAttributes()), 3*labelBytes); err != nil {
		return nil, err
	}
	for i, a := range r.GetAttributes() {
		key := a.GetKey()
		if k := a.GetKeyStrindex(); key == "" && k != 0 {
			if k < 0 || int(k) >= len(d.texts) {
				return nil, index(at(field+".attributes", i)+".key_strindex", k, "string_table", len(d.texts))
			}
			key = d.texts[k]
		}
		if len(key) > d.MaxTextBytes {
			return nil, invalid(at(field+".attributes", i)+".key", "has %d bytes, at most %d are allowed", len(key), d.MaxTextBytes)
		}
		value, err := d.anyValue(a.GetValue(), func() string { return at(field+".attributes", i) + ".value" })
		if err != nil {
			return nil, err
		}
		o.set(key, value)
	}
	s := &o.series
	if len(s.HostID) > maxHostID {
		return nil, invalid(field+".attributes", "host.id has %d bytes, at most %d are allowed", len(s.HostID), maxHostID)
	}
	if len(s.Host) > maxHostName {
		return nil, invalid(field+".attributes", "host.name has %d bytes, at most %d are allowed", len(s.Host), maxHostName)
	}
	if len(o.node) <= maxHostName {
		s.Host = cmp.Or(s.Host, o.node)
	}
	if s.Host == "" {
		s.Host = s.HostID
	}
	if s.HostID == "" && len(s.Host) <= maxHostID {
		s.HostID = s.Host
	}
	return o, nil
}

// host notes the host of a resource.
func (d *decoder) host(o *origin) {
	s := &o.series
	key := hostKey{s.HostID, s.Host}
	if _, ok := d.hosts[key]; ok || s.HostID == "" {
		return
	}
	if d.hosts == nil {
		d.hosts = make(map[hostKey]struct{})
	}
	d.hosts[key] = struct{}{}
	d.out.Hosts = append(d.out.Hosts, store.Host{ID: s.HostID, Name: s.Host, LastSeen: d.Now, Metadata: o.host})
}

// seriesOf returns the series of samples with attributes, whose indices were checked.
func (d *decoder) seriesOf(o *origin, t libpf.SampleType, attributes []int32) store.Series {
	with := *o
	if len(attributes) > 0 {
		with.labels, with.host = nil, nil
		for _, a := range attributes {
			with.set(d.attributes[a].key, d.attributes[a].value)
		}
		for k, v := range o.labels {
			if _, ok := with.labels[k]; !ok {
				with.label(k, v)
			}
		}
	}
	s := with.series
	s.Project, s.Type = d.Project, t
	s.Container = cmp.Or(s.Container, with.container)
	if s.Process == "" && s.Executable != "" {
		s.Process = path.Base(s.Executable)
	}
	s.Service = cmp.Or(s.Service, s.Container, s.Process, s.Comm, shortID(s.ContainerID), s.Pod, d.pidName(s.PID), s.Host, "unnamed")
	s.Labels = make([]libpf.Label, 0, len(with.labels))
	for k, v := range with.labels {
		s.Labels = append(s.Labels, libpf.Label{Key: k, Value: v})
	}
	slices.SortFunc(s.Labels, func(a, b libpf.Label) int { return cmp.Compare(a.Key, b.Key) })
	if n := len(s.Labels); n > d.MaxLabels {
		d.out.note("%d attributes are left out: a series has at most %d labels", n-d.MaxLabels, d.MaxLabels)
		s.Labels = s.Labels[:d.MaxLabels]
	}
	if len(s.Labels) == 0 {
		s.Labels = nil
	}
	return s
}

func (d *decoder) pidName(pid libpf.PID) string {
	if pid == 0 {
		return ""
	}
	return "pid " + pid.String()
}

// shortID is the part of the ID of a container that people use.
func shortID(id string) string {
	const short = 12
	if len(id) > short {
		return id[:short]
	}
	return id
}

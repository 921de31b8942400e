// SPDX-License-Identifier: Apache-2.0

package otlp

import (
	"cmp"
	"encoding/hex"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// checkValue checks a value, of which it makes texts only where it has to.
func (d *Message) checkValue(v *value, field func() string) error {
	switch v.kind {
	case stringValue:
		if len(v.text) > d.MaxTextBytes {
			return tooLong(field(), len(v.text), d.MaxTextBytes)
		}
	case indexValue:
		if i := int32Of(v.number); i < 0 || int(i) >= len(d.texts) {
			return index(field()+".string_value_strindex", i, "string_table", len(d.texts))
		}
	case bytesValue:
		if n := len(v.text); n > d.MaxTextBytes/2 { // of which a text of digits is made
			return tooLong(field(), n, d.MaxTextBytes/2)
		}
	case listValue:
		n := 0
		for i := range d.elements[v.list.from:v.list.to] {
			e := &d.elements[int(v.list.from)+i]
			if e.kind == listValue || e.kind == mapValue {
				continue
			}
			if err := d.checkValue(e, func() string { return at(field()+".array_value.values", i) }); err != nil {
				return err
			}
			if n += 1 + d.textLen(e); n > d.MaxTextBytes+1 { // all but the first comma count
				return tooLong(field(), n-1, d.MaxTextBytes)
			}
		}
		// Its text is a copy of others that may repeat without end.
		return d.owe(field(), n)
	}
	return nil
}

func tooLong(field string, n, most int) error {
	return invalid(field, "has %d bytes, at most %d are allowed", n, most)
}

// textLen returns the length of the text of a value that is no list.
func (d *Message) textLen(v *value) int {
	switch v.kind {
	case stringValue:
		return len(v.text)
	case indexValue:
		return len(d.texts[int32Of(v.number)])
	case bytesValue:
		return hex.EncodedLen(len(v.text))
	}
	return len(d.valueText(v))
}

// valueText returns a value that was checked as text: "" for none, elements of
// lists with commas. Maps are left out.
func (d *Message) valueText(v *value) string {
	switch v.kind {
	case stringValue:
		return string(v.text)
	case indexValue:
		return d.textOf(int32Of(v.number))
	case intValue:
		return strconv.FormatInt(int64Of(v.number), 10)
	case boolValue:
		return strconv.FormatBool(v.number != 0)
	case doubleValue:
		return strconv.FormatFloat(math.Float64frombits(v.number), 'g', -1, 64)
	case bytesValue:
		return hex.EncodeToString(v.text)
	case listValue:
		var b strings.Builder
		for i := v.list.from; i < v.list.to; i++ {
			e := &d.elements[i]
			if e.kind == listValue || e.kind == mapValue {
				continue
			}
			b.WriteByte(',')
			b.WriteString(d.valueText(e))
		}
		return strings.TrimPrefix(b.String(), ",")
	}
	return ""
}

// origin is where samples come from, as far as it is known.
type origin struct {
	series store.Series
	// process is what the process calls itself, which only our own agents say.
	process   string
	container string
	node      string
	// program is what an SDK that was not told of a service says instead.
	program string
	labels  map[string]string
	host    map[string]string
}

// unknownService is what SDKs say that were not told of which service they are, with
// a colon and the name of the program, if they know it.
const unknownService = "unknown_service"

// set sets what an attribute says.
func (o *origin) set(key, value string) {
	if key == "" || value == "" {
		return
	}
	s := &o.series
	switch key {
	case "service.name":
		if program, ok := strings.CutPrefix(value, unknownService); ok && (program == "" || program[0] == ':') {
			o.program = strings.TrimPrefix(program, ":")
		} else {
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
	case otlpkey.ProcessName:
		o.process = value
	case otlpkey.ProcessStart:
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			s.ProcessStart = n
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
		about, isOwn := strings.CutPrefix(key, otlpkey.HostPrefix)
		if isOwn || strings.HasPrefix(key, "host.") || strings.HasPrefix(key, "os.") || strings.HasPrefix(key, "telemetry.") {
			if o.host == nil {
				o.host = make(map[string]string)
			}
			o.host[about] = value
			return
		}
		o.label(strings.TrimPrefix(key, otlpkey.LabelPrefix), value)
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
func (d *Message) resource(field string, attributes []keyValue) (*origin, error) {
	o := &origin{}
	for i := range attributes {
		a := &attributes[i]
		key := string(a.key)
		if a.index != 0 {
			if a.index < 0 || int(a.index) >= len(d.texts) {
				return nil, index(at(field+".attributes", i)+".key_strindex", a.index, "string_table", len(d.texts))
			}
			text := d.textOf(a.index)
			if key != "" && key != text {
				return nil, invalid(at(field+".attributes", i)+".key_strindex", "is %d, which is not what key says: set one of them", a.index)
			}
			key = text
		}
		if len(key) > d.MaxTextBytes {
			return nil, tooLong(at(field+".attributes", i)+".key", len(key), d.MaxTextBytes)
		}
		if err := d.checkValue(&a.value, func() string { return at(field+".attributes", i) + ".value" }); err != nil {
			return nil, err
		}
		if err := d.work(field+".attributes", len(key)); err != nil {
			return nil, err
		}
		o.set(key, d.valueText(&a.value))
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
	if n := len(o.host); n > d.MaxMetadata {
		d.out.note("%d attributes are left out: a host has at most %d", n-d.MaxMetadata, d.MaxMetadata)
		for _, key := range slices.Sorted(maps.Keys(o.host))[d.MaxMetadata:] {
			delete(o.host, key)
		}
	}
	return o, nil
}

// host notes the host of a resource. All hosts of a request are stored at once, each with its
// texts, however often they repeat.
func (d *Message) host(field string, o *origin) error {
	s := &o.series
	key := hostKey{s.HostID, s.Host}
	if _, ok := d.hosts[key]; ok || s.HostID == "" {
		return nil
	}
	bytes := hostBytes
	for k, v := range o.host {
		bytes += entryBytes + 2*(len(k)+len(v)) // as it is stored, and as it is handed over
	}
	if err := d.owe(field+".attributes", bytes); err != nil {
		return err
	}
	if d.hosts == nil {
		d.hosts = make(map[hostKey]struct{})
	}
	d.hosts[key] = struct{}{}
	d.out.Hosts = append(d.out.Hosts, store.Host{ID: s.HostID, Name: s.Host, LastSeen: d.Now, Metadata: o.host})
	return nil
}

// seriesOf returns the series of samples with attributes, whose indices were checked.
func (d *Message) seriesOf(o *origin, t libpf.SampleType, attributes []int32) store.Series {
	with := *o
	if len(attributes) > 0 {
		with.labels, with.host = nil, nil
		for _, a := range attributes {
			with.set(d.textOf(d.attributes[a].key), d.attributeText(a))
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
	s.Process = cmp.Or(with.process, s.Process)
	if s.Process == "" && s.Executable != "" {
		s.Process = path.Base(s.Executable)
	}
	s.Service = cmp.Or(s.Service, s.Container, s.Process, with.program, s.Comm, shortID(s.ContainerID), s.Pod, d.program(), d.pidName(s.PID), s.Host, "unnamed")
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

// program returns the name of the first file in a request about one resource, which is
// that of the program where the profiles were pprof before. "" when it is none.
func (d *Message) program() string {
	if len(d.resources) != 1 || len(d.files) < 2 {
		return ""
	}
	name := d.files[1].executable.FileName
	if strings.HasPrefix(name, "[") || strings.Contains(name, ".so") {
		return ""
	}
	return name
}

func (d *Message) pidName(pid libpf.PID) string {
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

// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// hostResource is what resources say of the host. It is safe for concurrent use.
type hostResource struct {
	mu         sync.Mutex
	attributes map[string]string // a new map whenever they change
}

// describe replaces what is known by what the settings say and by metadata of the host.
func (h *hostResource) describe(s *settings, metadata map[string]string) {
	attributes := make(map[string]string, len(s.ResourceAttributes)+len(metadata)+2)
	maps.Copy(attributes, s.ResourceAttributes)
	for key, value := range metadata {
		attributes[hostKey(key)] = value
	}
	attributes["host.id"], attributes["host.name"] = s.HostID, s.HostName
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attributes = attributes
}

// known returns the attributes, which must not be changed.
func (h *hostResource) known() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.attributes
}

// hostKey returns the key of an attribute for one of the host's metadata.
func hostKey(key string) string {
	if describesHost(key) {
		return key
	}
	return otlpkey.HostPrefix + key
}

// describesHost reports whether a resource's attribute is about its host.
func describesHost(key string) bool {
	for _, prefix := range [...]string{"host.", "os.", "telemetry."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// isReserved reports whether a key means something else than a label of a process.
// A process chooses its labels, and must not pass for another one, or another host.
func isReserved(key string) bool {
	switch key {
	case "service.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "container.name", "container.id",
		"process.pid", "process.executable.name", "process.executable.path", "process.command", "process.command_args",
		"process.command_line", "thread.name", "thread.id", "cpu.logical_number":
		return true
	}
	return describesHost(key) || strings.HasPrefix(key, otlpkey.OwnPrefix) || strings.HasPrefix(key, otlpkey.LabelPrefix)
}

// resourceValue is a text, or a number when there is none.
type resourceValue struct {
	text   string
	number uint64
}

// resource returns the index of the resource of a process. It writes plain strings,
// not references into the dictionary: receivers exist that do not resolve those.
func (e *profileEncoder) resource(p *libpf.Process) int32 {
	if i, ok := e.resourceOf[p]; ok {
		return i
	}
	clear(e.values)
	text := func(key, value string) {
		if key != "" && value != "" {
			e.values[cleanText(key)] = resourceValue{text: cleanText(value)}
		}
	}
	for k, v := range e.host {
		text(k, v)
	}
	for _, l := range slices.Backward(p.Labels) { // the first of equal keys counts
		if _, taken := e.host[l.Key]; taken || isReserved(l.Key) {
			text(otlpkey.LabelPrefix+l.Key, l.Value)
		} else {
			text(l.Key, l.Value)
		}
	}
	text("service.name", p.Service)
	text("container.id", p.ContainerID)
	if p.PodName != "" {
		text("k8s.container.name", p.ContainerName)
	} else {
		text("container.name", p.ContainerName)
	}
	text("k8s.pod.name", p.PodName)
	text("k8s.namespace.name", p.Namespace)
	text("process.executable.path", p.Executable)
	name := p.Name
	if p.Executable != "" {
		name = path.Base(p.Executable)
	}
	text("process.executable.name", name)
	if p.Name != name {
		text(otlpkey.ProcessName, p.Name)
	}
	text("process.command_line", p.CommandLine)
	if p.PID != 0 {
		e.values["process.pid"] = resourceValue{number: uint64(p.PID)}
	}
	if p.StartTime != 0 {
		e.values[otlpkey.ProcessStart] = resourceValue{number: p.StartTime}
	}
	i := e.resources.add(e.encodeResource())
	if int(i) == len(e.resourceList) {
		e.resourceList = append(e.resourceList, resourceEntry{none, none})
	}
	e.resourceOf[p] = i
	return i
}

// encodeResource writes e.values, by key.
func (e *profileEncoder) encodeResource() wire {
	e.keys = slices.AppendSeq(e.keys[:0], maps.Keys(e.values))
	slices.SortFunc(e.keys, cmp.Compare[string])
	w := &e.scratch
	*w = (*w)[:0]
	for _, key := range e.keys {
		pair := w.open()
		w.text(attributeKey, key)
		value := w.open()
		if v := e.values[key]; v.text != "" {
			w.textValue(v.text)
		} else {
			w.numberValue(v.number)
		}
		w.close(attributeValue, value)
		w.close(1, pair)
	}
	return *w
}

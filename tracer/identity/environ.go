// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/strobe-profiler/strobe/libpf"
)

// Variables that are always looked at. Only what they say about the names of
// the process is kept.
const (
	envServiceName        = "OTEL_SERVICE_NAME"
	envResourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"
	// By convention, manifests fill these from the pod's metadata.
	envPodName      = "POD_NAME"
	envPodNamespace = "POD_NAMESPACE"
	envHostname     = "HOSTNAME"
)

var wellKnownVariables = []string{
	envServiceName, envResourceAttributes, envPodName, envPodNamespace, envHostname,
}

// environment maps names of variables to values.
type environment map[string]string

// parseEnviron picks the wanted variables out of the contents of
// /proc/PID/environ, which ends every entry with a zero byte. As for getenv, the
// first of several entries of one name counts. An entry that was cut off by the
// read limit is used only if it is ended.
func parseEnviron(b []byte, wanted map[string]bool) environment {
	env := environment{}
	for len(b) > 0 {
		entry, rest, ended := bytes.Cut(b, []byte{0})
		b = rest
		name, value, ok := bytes.Cut(entry, []byte{'='})
		if !ok || !ended || !wanted[string(name)] {
			continue
		}
		if _, seen := env[string(name)]; !seen {
			env[string(name)] = clean(string(value), maxVariableBytes)
		}
	}
	return env
}

// maxAttributes bounds how many attributes one process can bring along.
const maxAttributes = 32

// parseAttributes reads OTEL_RESOURCE_ATTRIBUTES: "key=value" pairs with commas
// between them and percent-encoded values, as W3C Baggage has it. A pair that
// cannot be read is left out; the last of several of one key counts.
func parseAttributes(s string) map[string]string {
	attributes := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || len(attributes) >= maxAttributes {
			continue
		}
		key, keyErr := url.PathUnescape(strings.TrimSpace(key))
		value, valueErr := url.PathUnescape(strings.TrimSpace(value))
		if keyErr != nil || valueErr != nil {
			continue
		}
		key, value = clean(key, maxNameBytes), clean(value, maxValueBytes)
		if key != "" && value != "" {
			attributes[key] = value
		}
	}
	return attributes
}

// describe fills the names of p that its environment gives. inPod says that the
// process is known to be in a pod, which lends meaning to the conventional
// variables; ownHostname that its host name is not that of the host, so that it
// is the pod's.
func describe(p *libpf.Process, env environment, exported []string, inPod, ownHostname bool) {
	attributes := parseAttributes(env[envResourceAttributes])
	take := func(keys ...string) string {
		found := ""
		for _, key := range keys {
			if found == "" {
				found = attributes[key]
			}
			delete(attributes, key)
		}
		return found
	}
	fill := func(field *string, values ...string) {
		for _, v := range values {
			if *field == "" {
				*field = strings.TrimSpace(clean(v, maxValueBytes))
			}
		}
	}
	name := take("service.name")
	fill(&p.Service, env[envServiceName], name)
	fill(&p.PodName, take("k8s.pod.name"))
	fill(&p.Namespace, take("k8s.namespace.name"))
	// What the runtime says of the container was filled in before and wins.
	fill(&p.ContainerName, take("k8s.container.name", "container.name"))
	fill(&p.ContainerID, take("container.id"))
	if inPod {
		fill(&p.PodName, env[envPodName])
		fill(&p.Namespace, env[envPodNamespace])
		if ownHostname {
			fill(&p.PodName, env[envHostname])
		}
	}
	// A number that is new with every process would only make series that hold
	// one process each, which the PID does already.
	take("service.instance.id", "process.pid", "k8s.pod.uid")
	for key, value := range attributes {
		p.Labels = append(p.Labels, libpf.Label{Key: key, Value: value})
	}
	for _, variable := range exported {
		if value := clean(env[variable], maxValueBytes); value != "" {
			p.Labels = append(p.Labels, libpf.Label{Key: environmentLabel + variable, Value: value})
		}
	}
}

// environmentLabel precedes the name of a variable in the key of its label, as
// OpenTelemetry names it.
const environmentLabel = "process.environment_variable."

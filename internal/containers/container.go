// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/libpf"
)

// Labels of processes that this package sets, beside the name of the container, the
// pod and the namespace, which are fields of [libpf.Process]. The names are those of
// OpenTelemetry where it has one.
const (
	LabelImage          = "container.image.name"
	LabelImageTag       = "container.image.tag"
	LabelRuntime        = "container.runtime"
	LabelComposeProject = "compose.project"
	LabelComposeService = "compose.service"
	LabelPodUID         = "k8s.pod.uid"
	// Before the keys of the labels that were asked for.
	PrefixContainerLabel = "container.label."
	PrefixPodLabel       = "k8s.pod.label."
)

// Labels of containers with a meaning of their own.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	podmanProject  = "io.podman.compose.project"
	podmanService  = "io.podman.compose.service"
	swarmService   = "com.docker.swarm.service.name"
	// The kubelet puts these onto containers, and cri-dockerd into Docker.
	kubePod       = "io.kubernetes.pod.name"
	kubeNamespace = "io.kubernetes.pod.namespace"
	kubeUID       = "io.kubernetes.pod.uid"
	kubeContainer = "io.kubernetes.container.name"
	dockershim    = "io.kubernetes.docker.type"
)

var knownContainerLabels = []string{
	composeProject, composeService, podmanProject, podmanService, swarmService,
	kubePod, kubeNamespace, kubeUID, kubeContainer, dockershim,
}

// knownPodLabels name the service that a pod belongs to, the first that is set. The
// order is that of OpenTelemetry's conventions; the last two are older.
var knownPodLabels = []string{
	"app.kubernetes.io/instance", "app.kubernetes.io/name", "app", "k8s-app",
}

// Limits of texts, in bytes, as for what processes say of themselves.
const (
	maxKeyBytes   = 128
	maxValueBytes = 256
)

// container is what is known of a container. Fields that are not known are empty.
type container struct {
	// runtime is docker, podman, containerd, cri-o ...
	runtime string
	// name is what the runtime calls it, inPod what its pod does.
	name, inPod             string
	image                   string // a reference
	pod, podUID, namespace  string
	composeProject, service string
	composeService          string
	// labels are those that were asked for, with prefix.
	labels map[string]string
}

// merge returns c with what it does not know from o.
func (c container) merge(o *container) container {
	fill := func(field *string, with string) {
		if *field == "" {
			*field = with
		}
	}
	// The kubelet calls an image what the manifest calls it, a runtime perhaps by its hash.
	if isHashOnly(c.image) && !isHashOnly(o.image) {
		c.image = o.image
	}
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&c.runtime, o.runtime}, {&c.name, o.name}, {&c.inPod, o.inPod}, {&c.image, o.image}, {&c.pod, o.pod},
		{&c.podUID, o.podUID}, {&c.namespace, o.namespace}, {&c.service, o.service},
		{&c.composeProject, o.composeProject}, {&c.composeService, o.composeService},
	} {
		fill(f.to, f.from)
	}
	if len(c.labels) == 0 {
		c.labels = o.labels
	} else if len(o.labels) > 0 {
		all := maps.Clone(o.labels)
		maps.Copy(all, c.labels)
		c.labels = all
	}
	return c
}

// equal reports whether two say the same.
func (c *container) equal(o *container) bool {
	return c.texts() == o.texts() && maps.Equal(c.labels, o.labels)
}

// texts returns all fields but the labels.
func (c *container) texts() [10]string {
	return [...]string{
		c.runtime, c.name, c.inPod, c.image, c.pod, c.podUID, c.namespace, c.composeProject, c.service, c.composeService,
	}
}

// bytes estimates what a container takes in memory.
func (c *container) bytes() int {
	n := 512
	for _, s := range c.texts() {
		n += len(s)
	}
	for k, v := range c.labels {
		n += 64 + len(k) + len(v)
	}
	return n
}

// wanted says which labels of containers and pods become labels of samples.
type wanted struct {
	container, pod map[string]bool
	known          map[string]bool // of either, for their meaning
}

func newWanted(containerLabels, podLabels []string) *wanted {
	set := func(keys []string) map[string]bool {
		m := make(map[string]bool, len(keys))
		for _, k := range keys {
			m[k] = true
		}
		return m
	}
	return &wanted{container: set(containerLabels), pod: set(podLabels), known: set(slices.Concat(knownContainerLabels, knownPodLabels))}
}

// wants reports whether a key has a meaning or is in allowed.
func (w *wanted) wants(key string, allowed map[string]bool) bool { return w.known[key] || allowed[key] }

// pick returns the labels with a meaning or in allowed, so that nothing else of an
// answer is kept. Of a key with a limit only so much counts.
func (w *wanted) pick(all map[string]string, allowed map[string]bool) map[string]string {
	var out map[string]string
	for k, v := range all {
		if v == "" || !w.wants(k, allowed) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = clean(v, maxValueBytes)
	}
	return out
}

// addContainerLabels takes over what the labels of the container say.
func (c *container) addContainerLabels(labels map[string]string, w *wanted) {
	labels = w.pick(labels, w.container)
	first := func(keys ...string) string {
		for _, k := range keys {
			if labels[k] != "" {
				return labels[k]
			}
		}
		return ""
	}
	*c = c.merge(&container{
		composeProject: first(composeProject, podmanProject), composeService: first(composeService, podmanService),
		service: first(composeService, podmanService, swarmService),
		pod:     labels[kubePod], namespace: labels[kubeNamespace], podUID: labels[kubeUID], inPod: labels[kubeContainer],
	})
	if labels[dockershim] == "podsandbox" {
		c.inPod = "" // it is called POD, and is no container of the user's
	}
	c.addLabels(PrefixContainerLabel, labels, w.container)
}

// addPodLabels takes over what the labels of the pod say.
func (c *container) addPodLabels(labels map[string]string, w *wanted) {
	labels = w.pick(labels, w.pod)
	for _, k := range knownPodLabels {
		if c.service == "" {
			c.service = labels[k]
		}
	}
	c.addLabels(PrefixPodLabel, labels, w.pod)
}

func (c *container) addLabels(prefix string, labels map[string]string, allowed map[string]bool) {
	for k, v := range labels {
		if !allowed[k] {
			continue
		}
		if c.labels == nil {
			c.labels = map[string]string{}
		}
		c.labels[clean(prefix+k, maxKeyBytes)] = v
	}
}

// describe returns the process with what is known of its container. p is not changed.
func (c *container) describe(p *libpf.Process) *libpf.Process {
	out := *p
	take := func(field *string, values ...string) {
		for _, v := range values {
			if v != "" {
				*field = v
				return
			}
		}
	}
	take(&out.ContainerName, c.inPod, c.name)
	if c.pod != "" && c.inPod == "" {
		// The sandbox of a pod. By the mounts of the process its name may be known.
		out.ContainerName = p.ContainerName
	}
	take(&out.PodName, c.pod)
	take(&out.Namespace, c.namespace)
	if !p.OwnService {
		take(&out.Service, c.service, out.ContainerName, c.pod)
	}
	image, tag := splitImage(c.image)
	labels := map[string]string{
		LabelImage: image, LabelImageTag: tag, LabelRuntime: c.runtime,
		LabelComposeProject: c.composeProject, LabelComposeService: c.composeService, LabelPodUID: c.podUID,
	}
	maps.Copy(labels, c.labels)
	out.Labels = mergeLabels(p.Labels, labels)
	return &out
}

// mergeLabels returns sorted labels with more of them; those that are there already
// and are not empty in more are replaced.
func mergeLabels(labels []libpf.Label, more map[string]string) []libpf.Label {
	out := make([]libpf.Label, 0, len(labels)+len(more))
	for _, l := range labels {
		if more[l.Key] == "" {
			out = append(out, l)
		}
	}
	for k, v := range more {
		if k != "" && v != "" {
			out = append(out, libpf.Label{Key: k, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b libpf.Label) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// splitImage takes the reference of an image apart: name and tag, without digest. Where
// there is neither a tag nor a digest the tag is latest, as for the runtimes. A
// reference that is only a hash has no name.
func splitImage(reference string) (name, tag string) {
	if isHashOnly(reference) {
		return "", ""
	}
	name, digest, hasDigest := strings.Cut(reference, "@")
	// A colon before the last slash is that of a port.
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	if hasDigest && digest != "" {
		return name, ""
	}
	return name, "latest"
}

// isHashOnly reports whether a reference names an image by its content only.
func isHashOnly(reference string) bool {
	if reference == "" {
		return true
	}
	hash := strings.TrimPrefix(reference, "sha256:")
	return len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

// clean returns at most limit bytes of s as valid UTF-8 without control characters.
func clean(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "")))
}

// IsLabelKey reports whether a text can be asked for as the key of a label.
func IsLabelKey(key string) bool {
	const longest = maxKeyBytes - len(PrefixContainerLabel) - 16
	return key != "" && len(key) <= longest && key == clean(key, maxKeyBytes) && !strings.ContainsAny(key, " ,=")
}

// isID reports whether s can be the ID of a container of these runtimes. Anything else,
// such as the UUID of another system, is not asked for.
func isID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

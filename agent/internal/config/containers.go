// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path"

	"github.com/strobe-profiler/strobe/internal/containers"
)

// maxLabelKeys bounds each list of labels: the collection agent takes 64 labels of a process.
const maxLabelKeys = 24

// Containers returns what the settings say of asking for containers.
func (c *Config) Containers() containers.Options {
	return containers.Options{
		Sockets: c.ContainerSockets,
		Kubelet: containers.KubeletOptions{URL: c.Kubelet, CAFile: c.KubeletCA, SkipVerify: c.KubeletSkipVerify},
		Labels:  c.ContainerLabels, PodLabels: c.PodLabels,
	}
}

// checkContainers checks the settings about containers.
func (c *Config) checkContainers(report func(flag, format string, args ...any)) {
	if err := containers.CheckSockets(c.ContainerSockets); err != nil {
		report("container-sockets", "%w", err)
	}
	if c.Kubelet != containers.Off && c.Kubelet != containers.KubeletAuto {
		if _, err := containers.CheckKubeletURL(c.Kubelet); err != nil {
			report("kubelet", "%w", err)
		}
	}
	if c.KubeletCA != "" && !path.IsAbs(c.KubeletCA) {
		report("kubelet-ca", "is %q, must be an absolute path", c.KubeletCA)
	}
	if c.KubeletCA != "" && c.KubeletSkipVerify {
		report("kubelet-skip-verify", "contradicts -kubelet-ca")
	}
	for flag, keys := range map[string][]string{"container-labels": c.ContainerLabels, "pod-labels": c.PodLabels} {
		if len(keys) > maxLabelKeys {
			report(flag, "has %d keys, at most %d are allowed", len(keys), maxLabelKeys)
		}
		for _, key := range keys {
			if !containers.IsLabelKey(key) {
				report(flag, "%q is not the key of a label: at most 96 printable characters without spaces", key)
			}
		}
	}
}

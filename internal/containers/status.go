// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/strobe-profiler/strobe/internal/sampling"
)

// States of a source beside the reasons why it does not answer, which are absent,
// denied, timeout, unsupported and error.
const (
	// StateIdle is before the first process in a container was seen.
	StateIdle = "idle"
	// StateAsked is that of a source that answers.
	StateAsked = "asked"
)

// Status says how it stands with a source.
type Status struct {
	// Kind is docker, cri or kubelet.
	Kind string `json:"kind"`
	// Where is the path of the socket, or the URL.
	Where string `json:"where"`
	State string `json:"state"`
	// Error is why it does not answer, and Fix what to do.
	Error string `json:"error,omitempty"`
	Fix   string `json:"fix,omitempty"`
}

// fix says what to do about a reason.
func fix(kind, where, reason string) string {
	switch {
	case reason == reasonDenied && kind == kindKubelet:
		return "let the service account of the agent get nodes/pods (or nodes/proxy before Kubernetes 1.33)"
	case reason == reasonDenied:
		return "let the user of the agent open " + where + ": its group, or a proxy that allows GET only; who may open the socket of a runtime can become root"
	case reason == reasonUnsupported && kind == kindCRI:
		return "enable the CRI plugin, or leave the socket out of -container-sockets"
	case reason == reasonUnsupported && kind == kindDocker:
		return "put cri: in front of the path if it is the socket of containerd or CRI-O"
	case reason == reasonAbsent && kind != kindKubelet:
		return "start the runtime; in a container, mount its socket"
	case kind == kindKubelet:
		return "see -kubelet, -kubelet-ca and -kubelet-skip-verify"
	}
	return ""
}

// probeID is no container's, so that an answer is short.
var probeID = strings.Repeat("0", 64)

// Probe asks each source once and says for people what it allows. Nothing of it is
// required. What was not asked for and is not there is not spoken of.
func Probe(ctx context.Context, o Options) []sampling.Capability {
	sources, err := newSources(&o, newWanted(nil, nil))
	if err != nil {
		return []sampling.Capability{{Name: "names of containers", Detail: err.Error(), Effect: effect, Fix: "correct the setting"}}
	}
	optional := optionalSockets(o.Sockets)
	var out []sampling.Capability
	for _, s := range sources {
		if _, err := os.Stat(s.where()); optional[s.where()] && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		out = append(out, probe(ctx, s))
	}
	if len(out) == 0 {
		out = append(out, sampling.Capability{
			Name: "names of containers", Detail: "no socket of a runtime and no kubelet to ask",
			Effect: "nothing, if there are no containers; else they are shown by ID",
			Fix:    "see -container-sockets and -kubelet",
		})
	}
	return out
}

const effect = "containers are shown by ID, without names, images and labels, unless another source knows them"

func probe(ctx context.Context, s source) sampling.Capability {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	defer s.close()
	c := sampling.Capability{Name: "names of containers: " + s.kind(), Detail: s.where()}
	pods := 0
	if err := s.look(ctx, []string{probeID}, func(string, container) { pods++ }); err != nil {
		c.Detail, c.Effect = fmt.Sprintf("%s: %v", s.where(), err), effect
		c.Fix = fix(s.kind(), s.where(), reasonOf(err))
		return c
	}
	c.OK = true
	if s.kind() == kindKubelet {
		c.Detail += fmt.Sprintf(", %d containers", pods)
	}
	return c
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// SocketsAuto is the value of Options.Sockets for the well-known ones that exist.
const SocketsAuto = "auto"

// socket is one to ask.
type socket struct {
	kind, path string
	// optional sockets are nothing to speak of when they do not exist.
	optional bool
}

// wellKnown are where distributions put the sockets. /var/run is the same directory as
// /run but in images that are made from nothing.
var wellKnown = []socket{
	{kind: kindDocker, path: "/run/docker.sock"},
	{kind: kindDocker, path: "/var/run/docker.sock"},
	{kind: kindDocker, path: "/run/podman/podman.sock"},
	{kind: kindCRI, path: "/run/containerd/containerd.sock"},
	{kind: kindCRI, path: "/run/crio/crio.sock"},
	{kind: kindCRI, path: "/var/run/crio/crio.sock"},
	{kind: kindCRI, path: "/run/cri-dockerd.sock"},
	{kind: kindCRI, path: "/run/k3s/containerd/containerd.sock"},
	{kind: kindCRI, path: "/run/k0s/containerd.sock"},
	{kind: kindCRI, path: "/var/snap/microk8s/common/run/containerd.sock"},
}

// parseSockets reads Options.Sockets.
func parseSockets(texts []string) ([]socket, error) {
	var out []socket
	for _, text := range texts {
		switch text {
		case Off:
			if len(texts) > 1 {
				return nil, fmt.Errorf("%q and paths contradict each other", Off)
			}
			return nil, nil
		case SocketsAuto:
			for _, s := range wellKnown {
				s.optional = true
				out = append(out, s)
			}
		default:
			s, err := parseSocket(text)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return distinct(out), nil
}

// optionalSockets are those of "auto".
func optionalSockets(texts []string) map[string]bool {
	optional := map[string]bool{}
	sockets, _ := parseSockets(texts) // errors are told elsewhere
	for _, s := range sockets {
		optional[s.path] = s.optional
	}
	return optional
}

// CheckSockets reports what is wrong with values of Options.Sockets.
func CheckSockets(texts []string) error {
	_, err := parseSockets(texts)
	return err
}

// parseSocket reads a path, with or without the name of what is spoken there.
func parseSocket(text string) (socket, error) {
	s := socket{path: text}
	for _, kind := range []string{kindDocker, kindCRI} {
		if rest, ok := strings.CutPrefix(text, kind+":"); ok {
			s.kind, s.path = kind, rest
		}
	}
	s.path = strings.TrimPrefix(s.path, "unix://")
	if !path.IsAbs(s.path) {
		return s, fmt.Errorf("%q is not auto, off or an absolute path", text)
	}
	if s.kind == "" {
		s.kind = kindDocker
		if base := path.Base(s.path); strings.Contains(base, "containerd") || strings.Contains(base, "cri") {
			s.kind = kindCRI
		}
	}
	return s, nil
}

// distinct leaves out well-known sockets that are another one by a second path. A socket
// that does not exist yet may turn up while the agent runs.
func distinct(sockets []socket) []socket {
	var out []socket
	for _, s := range sockets {
		info, err := os.Stat(s.path)
		same := false
		for _, o := range out {
			other, otherErr := os.Stat(o.path)
			same = same || o.path == s.path || s.optional && err == nil && otherErr == nil && os.SameFile(info, other)
			// The directory may be the same while there is no socket in it.
			same = same || s.optional && sameFolder(o.path, s.path)
		}
		if !same {
			out = append(out, s)
		}
	}
	return out
}

// sameFolder reports whether two paths with the same last element are in one folder.
func sameFolder(a, b string) bool {
	if path.Base(a) != path.Base(b) {
		return false
	}
	x, errX := os.Stat(path.Dir(a))
	y, errY := os.Stat(path.Dir(b))
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strobe-profiler/strobe/libpf"
)

func TestSplitImage(t *testing.T) {
	t.Parallel()
	for reference, want := range map[string][2]string{
		"shop":                              {"shop", "latest"},
		"shop:1.2":                          {"shop", "1.2"},
		"registry:5000/shop":                {"registry:5000/shop", "latest"},
		"registry:5000/a/shop:1.2":          {"registry:5000/a/shop", "1.2"},
		"shop@sha256:" + webID:              {"shop", ""},
		"r:1/shop:1.2@sha256:" + webID:      {"r:1/shop", "1.2"},
		"sha256:" + webID:                   {"", ""},
		webID:                               {"", ""},
		"":                                  {"", ""},
		"docker.io/library/shop:1.2-alpine": {"docker.io/library/shop", "1.2-alpine"},
	} {
		if name, tag := splitImage(reference); name != want[0] || tag != want[1] {
			t.Errorf("%q is %q, %q; want %q", reference, name, tag, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	own := func(p *libpf.Process) { p.Service, p.OwnService = "mine", true }
	tests := map[string]struct {
		labels, pod map[string]string
		start       container
		process     func(*libpf.Process)
		want        libpf.Process
	}{
		"compose": {
			labels: map[string]string{composeProject: "shop", composeService: "web", "team": "a", "password": "x"},
			start:  container{runtime: "docker", name: "shop-web-1", image: "shop/web:3"},
			want: libpf.Process{ContainerName: "shop-web-1", Service: "web", Labels: []libpf.Label{
				{Key: "compose.project", Value: "shop"}, {Key: "compose.service", Value: "web"},
				{Key: "container.image.name", Value: "shop/web"}, {Key: "container.image.tag", Value: "3"},
				{Key: "container.label.team", Value: "a"}, {Key: "container.runtime", Value: "docker"},
			}},
		},
		"its own service": {
			labels: map[string]string{composeService: "web"}, start: container{name: "x"}, process: own,
			want: libpf.Process{ContainerName: "x", Service: "mine", OwnService: true, Labels: []libpf.Label{{Key: "compose.service", Value: "web"}}},
		},
		"name only": {start: container{name: "loud_bell"}, want: libpf.Process{ContainerName: "loud_bell", Service: "loud_bell"}},
		"swarm": {
			labels: map[string]string{swarmService: "web"}, start: container{name: "web.1.qpo3"},
			want: libpf.Process{ContainerName: "web.1.qpo3", Service: "web"},
		},
		"pod": {
			labels: map[string]string{kubePod: "p", kubeNamespace: "n", kubeUID: podUID, kubeContainer: "c"},
			pod:    map[string]string{"app": "old", "app.kubernetes.io/name": "shop", "tier": "front"},
			start:  container{name: "k8s_c_p_n_u_0"},
			want: libpf.Process{ContainerName: "c", PodName: "p", Namespace: "n", Service: "shop", Labels: []libpf.Label{
				{Key: "k8s.pod.label.tier", Value: "front"}, {Key: "k8s.pod.uid", Value: podUID},
			}},
		},
		"pod without labels": {
			labels: map[string]string{kubePod: "p", kubeContainer: "c"},
			want:   libpf.Process{ContainerName: "c", PodName: "p", Service: "c"},
		},
		"sandbox of cri-dockerd": {
			labels:  map[string]string{kubePod: "p", kubeContainer: "POD", dockershim: "podsandbox"},
			start:   container{name: "k8s_POD_p_n_u_0"},
			process: func(p *libpf.Process) { p.ContainerName = "web" },
			want:    libpf.Process{ContainerName: "web", PodName: "p", Service: "web"},
		},
		"the runtime wins": {
			start: container{name: "real"}, process: func(p *libpf.Process) {
				p.ContainerName, p.Labels = "claimed", []libpf.Label{{Key: "a", Value: "b"}, {Key: LabelRuntime, Value: "claimed"}}
			},
			want: libpf.Process{ContainerName: "real", Service: "real", Labels: []libpf.Label{
				{Key: "a", Value: "b"}, {Key: LabelRuntime, Value: "claimed"},
			}},
		},
	}
	w := newWanted([]string{"team"}, []string{"tier"})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := test.start
			c.addContainerLabels(test.labels, w)
			c.addPodLabels(test.pod, w)
			p := process(webID)
			if test.process != nil {
				test.process(p)
			}
			before := *p
			test.want.PID, test.want.Name, test.want.ContainerID = p.PID, p.Name, p.ContainerID
			if len(test.want.Labels) == 0 {
				test.want.Labels = []libpf.Label{}
			}
			if d := cmp.Diff(&test.want, c.describe(p), cmp.AllowUnexported(libpf.Hash128{})); d != "" {
				t.Errorf("described (-want +got):\n%s", d)
			}
			if d := cmp.Diff(&before, p, cmp.AllowUnexported(libpf.Hash128{})); d != "" {
				t.Errorf("the process was changed:\n%s", d)
			}
		})
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	c := newCache(3, 1<<20, 2)
	ids := []string{"a", "b", "c", "d"}
	for _, id := range ids {
		if _, ask := c.find(id); !ask {
			t.Errorf("%s is not asked for", id)
		}
		c.learn(0, id, &container{name: id})
	}
	if c.has("a") || !c.has("b") || len(c.entries) != 3 || c.known != 3 || c.evicted != 1 {
		t.Errorf("%d entries, %d known, %d evicted", len(c.entries), c.known, c.evicted)
	}
	known, ask := c.find("b")
	if ask || known.name != "b" {
		t.Errorf("b: %+v, asked again: %v", known, ask)
	}
	c.learn(0, "b", &container{name: "b"})
	if again, _ := c.find("b"); again != known {
		t.Error("the same answer made another value")
	}
	c.learn(1, "b", &container{name: "other", pod: "p"})
	if again, _ := c.find("b"); again == known || again.name != "b" || again.pod != "p" {
		t.Errorf("merged: %+v", again)
	}
	c.maxBytes = 1
	c.learn(0, "e", &container{name: "e"})
	if len(c.entries) != 1 || c.known != 1 || !c.has("e") {
		t.Errorf("of one that is larger than all there is: %d entries", len(c.entries))
	}
	now := c.now()
	c.now = func() time.Time { return now.Add(refreshAfter) }
	if _, ask := c.find("e"); !ask {
		t.Error("an old answer is not asked for again")
	}
}

// TestManyProcesses: as many as a large host runs in containers keep their values, whatever
// else comes and goes, and what is remembered of those that ended is bounded.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	d, err := New(Options{Sockets: []string{"/nowhere/docker.sock"}})
	if err != nil {
		t.Fatal(err)
	}
	d.learn(0, webID, &container{name: "web"})
	busy, first := make([]*libpf.Process, 1500), make([]*libpf.Process, 1500)
	for i := range busy {
		busy[i] = process(webID)
		first[i] = d.Describe(busy[i])
	}
	for round := range 20 {
		for i, p := range busy {
			if got := d.Describe(p); got != first[i] {
				t.Fatalf("round %d: process %d has another value", round, i)
			}
		}
		for range 200 {
			d.Describe(process(webID))
		}
	}
	if n := len(d.described) + len(d.older); n > 2*maxDescribed {
		t.Errorf("%d are remembered", n)
	}
}

func TestParseSockets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]socket{
		"/x/docker.sock":          {kind: kindDocker, path: "/x/docker.sock"},
		"/x/podman.sock":          {kind: kindDocker, path: "/x/podman.sock"},
		"/x/containerd.sock":      {kind: kindCRI, path: "/x/containerd.sock"},
		"/docker/containerd.sock": {kind: kindCRI, path: "/docker/containerd.sock"},
		"/x/crio.sock":            {kind: kindCRI, path: "/x/crio.sock"},
		"/x/cri-dockerd.sock":     {kind: kindCRI, path: "/x/cri-dockerd.sock"},
		"cri:/x/runtime":          {kind: kindCRI, path: "/x/runtime"},
		"docker:/x/containerd":    {kind: kindDocker, path: "/x/containerd"},
		"unix:///x/proxy.sock":    {kind: kindDocker, path: "/x/proxy.sock"},
	} {
		got, err := parseSockets([]string{text})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, wrong := range [][]string{{"x"}, {"off", "/x"}, {"cri:x"}, {""}} {
		if err := CheckSockets(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
	if all, err := parseSockets([]string{SocketsAuto, "/x/y.sock"}); err != nil || len(all) < 3 || all[len(all)-1].optional || !all[0].optional {
		t.Errorf("auto and a path: %+v, %v", all, err)
	}
}

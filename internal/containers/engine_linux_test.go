// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"strings"
	"testing"

	"github.com/strobe-profiler/strobe/libpf"
	"github.com/strobe-profiler/strobe/support/dockertest"
)

// TestDockerEngine asks a real engine: for a container that runs, for one that starts
// later and tells so itself, and for one that gets another name.
func TestDockerEngine(t *testing.T) {
	engine := dockertest.Start(t)
	engine.Build(t, "shop/web:3", "./testdata/busy")
	run := func(name string, more ...string) string {
		args := append([]string{"run", "-d", "--network", "none", "--name", name}, more...)
		return strings.TrimSpace(engine.Run(t, "docker", append(args, "shop/web:3", "-idle")...))
	}
	first := run("shop_web_1", "--cgroupns=private", "-l", "com.docker.compose.project=shop", "-l", "com.docker.compose.service=web", "-l", "team=a,b=\u00e9", "-l", "password=x")
	d := started(t, Options{Sockets: []string{engine.Socket}, Labels: []string{"team"}})
	p := described(t, d, process(first), named)
	want := map[string]string{
		LabelImage: "shop/web", LabelImageTag: "3", LabelRuntime: "docker", LabelComposeProject: "shop", LabelComposeService: "web",
		"container.label.team": "a,b=\u00e9", "container.label.password": "",
	}
	for key, value := range want {
		if got := label(p, key); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
	if p.ContainerName != "shop_web_1" || p.Service != "web" {
		t.Errorf("container %q, service %q", p.ContainerName, p.Service)
	}

	// The stream of events opens a moment after the first answer. A container started
	// before that is not heard of, so others are started until one is.
	var second string
	heard := func(id string) bool {
		found := false
		described(t, d, process(first), func(*libpf.Process) bool { found = d.knows(id); return true })
		return found
	}
	for i := 0; second == "" && i < 20; i++ {
		id := run("later_" + string(rune('a'+i)))
		for range 50 {
			// Each question to the engine takes longer than its events do.
			engine.Run(t, "docker", "version")
			if heard(id) {
				second = id
				break
			}
		}
	}
	if second == "" {
		t.Fatal("no container that started was heard of")
	}
	p = described(t, d, process(second), named)
	if !strings.HasPrefix(p.ContainerName, "later_") || p.Service != p.ContainerName {
		t.Errorf("container %q, service %q", p.ContainerName, p.Service)
	}
	engine.Run(t, "docker", "rename", p.ContainerName, "renamed")
	described(t, d, process(second), func(p *libpf.Process) bool { return p.ContainerName == "renamed" && p.Service == "renamed" })

	// Away and back, as when the engine is updated: what is known stays.
	if s := d.Status(); len(s) != 1 || s[0].State != StateAsked {
		t.Errorf("status %+v", s)
	}
	if c := Probe(t.Context(), Options{Sockets: []string{engine.Socket}}); len(c) != 1 || !c[0].OK {
		t.Errorf("doctor says %+v", c)
	}
}

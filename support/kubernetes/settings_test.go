// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	sigs "sigs.k8s.io/yaml"
)

// build builds the programs and returns where they are.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "./agent", "./collectionagent")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// TestSettings lets the programs check the settings that the chart gives them.
func TestSettings(t *testing.T) {
	bin := build(t)
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			c := install(t, values)
			for _, w := range c.workloads() {
				settings := c.run(t, bin, w)
				c.compare(t, w, settings)
			}
		})
	}
}

// run lets the program of a workload check its settings as they are in its container, and
// returns those in force.
func (c *cluster) run(t *testing.T, bin string, w *workload) map[string]any {
	t.Helper()
	root := t.TempDir()
	for _, v := range w.template.Spec.Volumes {
		fill(t, filepath.Join(root, v.Name), v, c)
	}
	// Paths in the container are those of volumes here.
	paths := []string{}
	for _, m := range w.container().VolumeMounts {
		paths = append(paths, m.MountPath+"/", filepath.Join(root, m.Name)+"/")
	}
	local := strings.NewReplacer(paths...)
	known := map[string]string{"NODE_NAME": "node-1", "NODE_IP": "192.0.2.1"}
	env := []string{"PATH=" + os.Getenv("PATH")}
	for _, e := range w.container().Env {
		if e.ValueFrom != nil {
			if known[e.Name] == "" || e.ValueFrom.FieldRef == nil {
				t.Fatalf("%s: nobody knows %s", w.name, e.Name)
			}
			env = append(env, e.Name+"="+known[e.Name])
			continue
		}
		env = append(env, e.Name+"="+local.Replace(os.Expand(strings.NewReplacer("$(", "${", ")", "}").Replace(e.Value), func(n string) string {
			if known[n] == "" {
				t.Errorf("%s: %s is not set", w.name, n)
			}
			return known[n]
		})))
	}
	// The settings name files by their paths in the container.
	conf := filepath.Join(root, "config", w.name+".conf")
	b := file(t, conf)
	if err := os.WriteFile(conf, []byte(local.Replace(string(b))), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(action string) []byte {
		cmd := exec.Command(filepath.Join(bin, w.name), append(w.container().Args, action)...)
		cmd.Env = env
		var warnings strings.Builder
		cmd.Stderr = &warnings
		out, err := cmd.Output()
		if err != nil || warnings.Len() > 0 {
			t.Fatalf("%s %s: %v\n%s%s\n%s", w.name, action, err, out, warnings.String(), b)
		}
		return out
	}
	ask("-check-config")
	for _, e := range env {
		// The agent only warns of variables that are no settings.
		name, _, _ := strings.Cut(e, "=")
		if flag, ok := strings.CutPrefix(name, "STROBE_AGENT_"); ok {
			flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
			if usage := ask("-help"); !regexp.MustCompile(`(?m)^\s+-` + flag + `\b`).Match(usage) {
				t.Errorf("%s stands for no setting", name)
			}
		}
	}
	var settings map[string]any
	if err := sigs.Unmarshal(ask("-print-config"), &settings); err != nil {
		t.Fatal(err)
	}
	return settings
}

// fill makes what a volume has.
func fill(t *testing.T, dir string, v core.Volume, c *cluster) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case v.ConfigMap != nil && c.configs[v.ConfigMap.Name] != nil:
		for name, text := range c.configs[v.ConfigMap.Name].Data {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	case v.ConfigMap != nil: // of the user
		write("ca.pem", certificate)
	case v.Secret != nil:
		for name, text := range map[string]string{
			"token": "strobe_abc\n", "tls.crt": certificate, "tls.key": key, "ca.pem": certificate,
			"dsn": "clickhouse://strobe:secret@ch:9440/strobe?secure=true\n", "auth.json": `{"version":1}`,
		} {
			write(name, text)
		}
	}
}

var size = regexp.MustCompile(`^([0-9.]+)(KiB|MiB|GiB|TiB|)$`)

// bytes reads a size as the programs print it.
func bytes(t *testing.T, v any) int64 {
	t.Helper()
	m := size.FindStringSubmatch(fmt.Sprint(v))
	if m == nil {
		t.Fatalf("%v is no size", v)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n * float64(map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[m[2]]))
}

// compare holds what the manifests and the settings in force say alike.
func (c *cluster) compare(t *testing.T, w *workload, settings map[string]any) {
	t.Helper()
	limit := w.container().Resources.Limits.Memory().Value()
	listens := map[string]string{"metrics": "http-address", "http": "http-address", "grpc": "grpc-address"}
	for _, p := range w.container().Ports {
		host, port, err := net.SplitHostPort(fmt.Sprint(settings[listens[p.Name]]))
		if err != nil || port != strconv.Itoa(int(p.ContainerPort)) || host != "0.0.0.0" {
			t.Errorf("%s: port %s is %d, listens on %v", w.name, p.Name, p.ContainerPort, settings[listens[p.Name]])
		}
	}
	if w.name == "agent" {
		if budget := bytes(t, settings["memory-limit"]); limit < 2*budget {
			t.Errorf("agent: %d bytes of memory, -memory-limit %d", limit, budget)
		}
		spool := bytes(t, settings["spool-bytes"])
		for _, v := range w.template.Spec.Volumes {
			if v.Name == "spool" && v.EmptyDir != nil && v.EmptyDir.SizeLimit.Value() < spool+spool/10 {
				t.Errorf("agent: %v for a spool of %d bytes", v.EmptyDir.SizeLimit, spool)
			}
		}
		if settings["host-name"] != "node-1" {
			t.Errorf("agent: is called %v", settings["host-name"])
		}
		if asks := settings["kubelet"] != "off" && settings["kubelet"] != false; asks != (len(c.roles) > 0) {
			t.Errorf("agent: kubelet %v, %d roles", settings["kubelet"], len(c.roles))
		}
		if settings["disable-tls"] != true && settings["tls-ca"] == "" {
			t.Error("agent: knows no authority, and the image has none")
		}
		return
	}
	if budget := bytes(t, settings["memory"]); limit < budget+budget/8 { // docs/memory.md
		t.Errorf("collection agent: %d bytes of memory, -memory %d", limit, budget)
	}
	if settings["auth"] != "required" {
		t.Errorf("collection agent: auth is %v", settings["auth"])
	}
	plain := settings["insecure"] == true
	probe := w.container().ReadinessProbe.HTTPGet.Scheme
	if plain != (probe == core.URISchemeHTTP) {
		t.Errorf("collection agent: TLS off: %v, probed by %s", plain, probe)
	}
	for _, m := range c.monitors {
		for _, e := range m.Spec.PodMetricsEndpoints {
			if *e.Port == "http" && plain == (e.Scheme != nil && *e.Scheme == "https") {
				t.Errorf("collection agent: TLS off: %v, scraped by %v", plain, e.Scheme)
			}
		}
	}
	if settings["store"] == "embedded" != (c.stateful != nil) {
		t.Errorf("collection agent: store %v, StatefulSet %v", settings["store"], c.stateful != nil)
	}
	c.checkNames(t, settings)
}

// checkNames holds that agents find their collection agent by a name in its certificate.
func (c *cluster) checkNames(t *testing.T, settings map[string]any) {
	t.Helper()
	if c.daemonSet == nil {
		return
	}
	var agent map[string]any
	if err := sigs.Unmarshal([]byte(c.configs[c.daemonSet.Name].Data["agent.conf"]), &agent); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(fmt.Sprint(agent["collection-agent"]))
	if err != nil || port != "11000" {
		t.Errorf("agents send to %v", agent["collection-agent"])
	}
	service := strings.TrimSuffix(host, "."+namespace+".svc")
	found := false
	for _, s := range c.services {
		found = found || s.Name == service
	}
	if !found {
		t.Errorf("agents send to %s, which is no service", host)
	}
	var names []string
	if own := fmt.Sprint(settings["tls-names"]); own != "" {
		names = strings.Split(own, ",")
	}
	for _, cert := range c.certs {
		names = append(names, cert.Spec.DNSNames...)
	}
	if len(names) > 0 && !slices.Contains(names, host) {
		t.Errorf("certificates are for %v, agents want %s", names, host)
	}
}

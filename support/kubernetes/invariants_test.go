// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	sigs "sigs.k8s.io/yaml"
)

// workload is the template of pods of a component.
type workload struct {
	name     string
	selector *meta.LabelSelector
	template core.PodTemplateSpec
	// claims are the names of its volumes that have claims.
	claims []string
	// perNode is whether each node has one, which looks at that node.
	perNode bool
}

func (w *workload) container() *core.Container { return &w.template.Spec.Containers[0] }

func (c *cluster) workloads() (all []*workload) {
	if d := c.daemonSet; d != nil {
		all = append(all, &workload{"agent", d.Spec.Selector, d.Spec.Template, nil, true})
	}
	if s := c.stateful; s != nil {
		w := &workload{"collectionagent", s.Spec.Selector, s.Spec.Template, nil, false}
		for _, claim := range s.Spec.VolumeClaimTemplates {
			w.claims = append(w.claims, claim.Name)
		}
		all = append(all, w)
	}
	if d := c.deployment; d != nil {
		all = append(all, &workload{"collectionagent", d.Spec.Selector, d.Spec.Template, nil, false})
	}
	return all
}

func selects(t *testing.T, s *meta.LabelSelector, l map[string]string) bool {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return !selector.Empty() && selector.Matches(labels.Set(l))
}

// TestInvariants holds in every case what has to fit together.
func TestInvariants(t *testing.T) {
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			c := install(t, values)
			for _, w := range c.workloads() {
				c.checkWorkload(t, w)
				c.checkMounts(t, w)
			}
			c.checkReferences(t)
		})
	}
}

func (c *cluster) checkWorkload(t *testing.T, w *workload) {
	t.Helper()
	pod, container := &w.template.Spec, w.container()
	if !selects(t, w.selector, w.template.Labels) {
		t.Errorf("%s: selector %v, labels %v", w.name, w.selector, w.template.Labels)
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
		t.Errorf("%s has other containers", w.name)
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
		t.Errorf("%s: variables of Services would be taken for settings", w.name)
	}
	if c.accounts[pod.ServiceAccountName] == nil {
		t.Errorf("%s: there is no service account %q", w.name, pod.ServiceAccountName)
	}
	if sc := container.SecurityContext; sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
		t.Errorf("%s can write to its image", w.name)
	}
	ports := map[string]bool{}
	for _, p := range container.Ports {
		ports[p.Name] = true
	}
	for probe, p := range map[string]*core.Probe{"startup": container.StartupProbe, "liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || !ports[p.HTTPGet.Port.StrVal] {
			t.Errorf("%s: %s probe %+v asks none of the ports %v", w.name, probe, p, ports)
			continue
		}
		if want := map[bool]string{true: "/-/ready", false: "/-/healthy"}[probe == "readiness"]; p.HTTPGet.Path != want {
			t.Errorf("%s: %s probe asks %s", w.name, probe, p.HTTPGet.Path)
		}
	}
	limit := container.Resources.Limits.Memory().Value()
	request := container.Resources.Requests.Memory().Value()
	if limit == 0 || request == 0 || request > limit {
		t.Errorf("%s: requests %d bytes of memory, has a limit of %d", w.name, request, limit)
	}
}

// checkMounts looks at volumes, which all have a mount, and mounts, which all have a volume.
// Where a program can write nobody else has anything: a claim, an emptyDir, or a directory of
// the node that is made for it.
func (c *cluster) checkMounts(t *testing.T, w *workload) {
	t.Helper()
	volumes, own := map[string]bool{}, map[string]bool{}
	for _, name := range w.claims {
		volumes[name], own[name] = true, true
	}
	for _, v := range w.template.Spec.Volumes {
		volumes[v.Name] = true
		own[v.Name] = v.EmptyDir != nil || v.HostPath != nil && v.HostPath.Type != nil && *v.HostPath.Type == core.HostPathDirectoryOrCreate
		if h := v.HostPath; h != nil && (h.Type == nil || *h.Type == core.HostPathUnset) {
			t.Errorf("%s: what %s has to be is not checked", w.name, h.Path)
		}
	}
	mounted := map[string]bool{}
	for _, m := range w.container().VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s mounts %s, which is no volume", w.name, m.Name)
		}
		mounted[m.Name] = true
		if m.ReadOnly == own[m.Name] {
			t.Errorf("%s: %s is read-only: %v, is its own: %v", w.name, m.MountPath, m.ReadOnly, own[m.Name])
		}
	}
	if !maps.Equal(volumes, mounted) {
		t.Errorf("%s: volumes %v, mounts %v", w.name, volumes, mounted)
	}
}

// checkReferences looks at what names pods and their ports.
func (c *cluster) checkReferences(t *testing.T) {
	t.Helper()
	hit := func(what string, selector *meta.LabelSelector, ports ...intstr.IntOrString) {
		t.Helper()
		found := 0
		for _, w := range c.workloads() {
			if !selects(t, selector, w.template.Labels) {
				continue
			}
			found++
			for _, p := range ports {
				if !slices.ContainsFunc(w.container().Ports, func(cp core.ContainerPort) bool { return cp.Name == p.StrVal }) {
					t.Errorf("%s: %s has no port %q", what, w.name, p.String())
				}
			}
		}
		if found != 1 {
			t.Errorf("%s selects %d workloads", what, found)
		}
	}
	for _, s := range c.services {
		var ports []intstr.IntOrString
		for _, p := range s.Spec.Ports {
			ports = append(ports, p.TargetPort)
		}
		hit("service "+s.Name, &meta.LabelSelector{MatchLabels: s.Spec.Selector}, ports...)
	}
	for _, p := range c.policies {
		var ports []intstr.IntOrString
		for _, in := range p.Spec.Ingress {
			for _, port := range in.Ports {
				ports = append(ports, *port.Port)
			}
			if len(in.From) == 0 || len(in.Ports) == 0 {
				t.Errorf("policy %s lets everybody in", p.Name)
			}
		}
		if !slices.Equal(p.Spec.PolicyTypes, []networking.PolicyType{networking.PolicyTypeIngress}) {
			t.Errorf("policy %s: %v", p.Name, p.Spec.PolicyTypes)
		}
		hit("policy "+p.Name, &p.Spec.PodSelector, ports...)
	}
	for _, m := range c.monitors {
		var ports []intstr.IntOrString
		for _, e := range m.Spec.PodMetricsEndpoints {
			ports = append(ports, intstr.FromString(*e.Port))
		}
		hit("monitor "+m.Name, &m.Spec.Selector, ports...)
	}
	for _, b := range c.budgets {
		hit("budget "+b.Name, b.Spec.Selector)
	}
	for _, s := range c.scalers {
		if c.deployment == nil || s.Spec.ScaleTargetRef.Name != c.deployment.Name || c.deployment.Spec.Replicas != nil {
			t.Errorf("scaler %s and the Deployment do not fit", s.Name)
		}
	}
	if s := c.stateful; s != nil {
		if *s.Spec.Replicas != 1 {
			t.Errorf("%d servers on one store each", *s.Spec.Replicas)
		}
		if !slices.ContainsFunc(c.services, func(v *core.Service) bool {
			return v.Name == s.Spec.ServiceName && v.Spec.ClusterIP == core.ClusterIPNone
		}) {
			t.Errorf("there is no headless service %s", s.Spec.ServiceName)
		}
	}
	for _, b := range c.bindings {
		for _, s := range b.Subjects {
			if c.accounts[s.Name] == nil || s.Namespace != namespace {
				t.Errorf("binding %s is for %s/%s", b.Name, s.Namespace, s.Name)
			}
		}
		if len(c.roles) != 1 || b.RoleRef.Name != c.roles[0].Name {
			t.Errorf("binding %s is of %s", b.Name, b.RoleRef.Name)
		}
	}
}

// capabilities are those that the unit of systemd gives to the agent, without their prefix.
func capabilities(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.+)$`).FindSubmatch(file(t, "../systemd/strobe-agent.service"))
	if m == nil {
		t.Fatal("the unit has no capabilities")
	}
	return slices.Sorted(strings.FieldsSeq(strings.ReplaceAll(string(m[1]), "CAP_", "")))
}

// TestPrivileges holds what each program may do. The agent gets what the unit gives it, which the
// tests of agent/internal/confine hold to what it needs, as they do support/docker/capabilities.yml.
func TestPrivileges(t *testing.T) {
	want := capabilities(t)
	for name, values := range cases {
		c := install(t, values)
		if d := c.daemonSet; d != nil {
			sc := d.Spec.Template.Spec.Containers[0].SecurityContext
			switch {
			case asksForPrivileges(t, values):
				if !*sc.Privileged || sc.Capabilities != nil || sc.AllowPrivilegeEscalation != nil {
					t.Errorf("%s: %+v", name, sc)
				}
			case *sc.Privileged || *sc.AllowPrivilegeEscalation || !slices.Equal(sc.Capabilities.Drop, []core.Capability{"ALL"}):
				t.Errorf("%s: %+v", name, sc)
			default:
				var got []string
				for _, capability := range sc.Capabilities.Add {
					got = append(got, string(capability))
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s adds %v, the unit has %v", name, got, want)
				}
			}
			if pod := d.Spec.Template.Spec; !pod.HostPID || pod.HostNetwork || pod.HostIPC {
				t.Errorf("%s: PID namespace %v, network %v, IPC %v of the node", name, pod.HostPID, pod.HostNetwork, pod.HostIPC)
			}
			if account := d.Spec.Template.Spec.AutomountServiceAccountToken; *account != (len(c.roles) > 0) {
				t.Errorf("%s: token of the service account %v, %d roles", name, *account, len(c.roles))
			}
		}
		for _, r := range c.roles {
			for _, rule := range r.Rules {
				if !slices.Equal(rule.Verbs, []string{"get"}) || len(rule.Resources) != 1 || !strings.HasPrefix(rule.Resources[0], "nodes/") {
					t.Errorf("%s: %+v", name, rule)
				}
			}
		}
		for _, w := range c.workloads() {
			if !w.perNode {
				restricted(t, name, w)
			}
		}
	}
}

// asksForPrivileges reports whether values want the agent to be privileged.
func asksForPrivileges(t *testing.T, values string) bool {
	t.Helper()
	var v struct{ Agent struct{ Privileged bool } }
	if err := sigs.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	return v.Agent.Privileged
}

// restricted holds that a pod passes the pod security standard of this name.
func restricted(t *testing.T, name string, w *workload) {
	t.Helper()
	pod, sc := w.template.Spec, w.container().SecurityContext
	switch {
	case pod.HostPID, pod.HostNetwork, pod.HostIPC:
		t.Errorf("%s: has namespaces of the node", name)
	case !*pod.SecurityContext.RunAsNonRoot, *pod.SecurityContext.RunAsUser == 0:
		t.Errorf("%s: runs as root", name)
	case pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		t.Errorf("%s: all system calls are open", name)
	case *sc.AllowPrivilegeEscalation, !slices.Equal(sc.Capabilities.Drop, []core.Capability{"ALL"}), len(sc.Capabilities.Add) > 0, sc.Privileged != nil:
		t.Errorf("%s: %+v", name, sc)
	case *pod.AutomountServiceAccountToken:
		t.Errorf("%s: has a token of the API server", name)
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			t.Errorf("%s: mounts %s of the node", name, v.HostPath.Path)
		}
	}
}

// TestCommands holds that the notes name programs where the images have them.
func TestCommands(t *testing.T) {
	for _, program := range []string{"agent", "collectionagent"} {
		b, err := os.ReadFile("../docker/" + program + ".Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		entry := regexp.MustCompile(`(?m)^ENTRYPOINT \["([^"]+)"\]`).FindSubmatch(b)
		if entry == nil {
			t.Fatalf("the image of %s starts nothing", program)
		}
		texts := install(t, "").notes + string(file(t, "../../docs/kubernetes.md"))
		for _, m := range regexp.MustCompile(` -- (/\S+)`).FindAllStringSubmatch(texts, -1) {
			if strings.HasSuffix(m[1], "/"+program) && m[1] != string(entry[1]) {
				t.Errorf("%s is %s in the image", m[1], entry[1])
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	sigs "sigs.k8s.io/yaml"
)

const (
	chartDir = "strobe"
	release  = "strobe"
	// namespace is that of tests and of the plain manifests.
	namespace = "strobe"
)

// scheme knows every type that the chart may make, and no other.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, core.AddToScheme, networking.AddToScheme,
		policy.AddToScheme, rbac.AddToScheme, monitoring.AddToScheme, certmanager.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

// strict is what decodes: fields that are not known, and keys that are there twice, are errors.
var strict = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})

// render returns what the chart makes of values, file by file in their order, and the notes.
func render(values string) (manifests []string, notes string, err error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, "", err
	}
	var user map[string]any
	if err := sigs.UnmarshalStrict([]byte(values), &user); err != nil {
		return nil, "", err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	capabilities := *chartutil.DefaultCapabilities
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}
	// The schema is checked here.
	all, err := chartutil.ToRenderValues(chart, user, options, &capabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, "", err
	}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			notes = text
			delete(files, name)
		}
	}
	_, sorted, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, "", err
	}
	for _, m := range sorted {
		manifests = append(manifests, strings.TrimSpace(m.Content)+"\n")
	}
	return manifests, notes, nil
}

// decode decodes objects strictly.
func decode(t *testing.T, manifests []string) (objects []runtime.Object) {
	t.Helper()
	for _, text := range manifests {
		object, _, err := strict.Decode([]byte(text), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		objects = append(objects, object)
	}
	return objects
}

// cluster is what a rendering consists of, by kind.
type cluster struct {
	notes      string
	objects    []runtime.Object
	daemonSet  *apps.DaemonSet
	stateful   *apps.StatefulSet
	deployment *apps.Deployment
	configs    map[string]*core.ConfigMap
	services   []*core.Service
	policies   []*networking.NetworkPolicy
	monitors   []*monitoring.PodMonitor
	budgets    []*policy.PodDisruptionBudget
	accounts   map[string]*core.ServiceAccount
	roles      []*rbac.ClusterRole
	bindings   []*rbac.ClusterRoleBinding
	scalers    []*autoscaling.HorizontalPodAutoscaler
	certs      []*certmanager.Certificate
	namespaces []*core.Namespace
}

// sort puts objects where their kind belongs.
func sort(t *testing.T, objects []runtime.Object) *cluster {
	t.Helper()
	c := &cluster{objects: objects, configs: map[string]*core.ConfigMap{}, accounts: map[string]*core.ServiceAccount{}}
	for _, o := range objects {
		switch o := o.(type) {
		case *apps.DaemonSet:
			c.daemonSet = o
		case *apps.StatefulSet:
			c.stateful = o
		case *apps.Deployment:
			c.deployment = o
		case *core.ConfigMap:
			c.configs[o.Name] = o
		case *core.ServiceAccount:
			c.accounts[o.Name] = o
		default:
			if !(keep(&c.services, o) || keep(&c.policies, o) || keep(&c.monitors, o) || keep(&c.budgets, o) || keep(&c.roles, o) ||
				keep(&c.bindings, o) || keep(&c.scalers, o) || keep(&c.certs, o) || keep(&c.namespaces, o)) {
				t.Fatalf("nobody looks at %T", o)
			}
		}
	}
	return c
}

// keep appends an object to the list of its kind, and reports whether it is of that kind.
func keep[T runtime.Object](list *[]T, o runtime.Object) bool {
	v, ok := o.(T)
	if ok {
		*list = append(*list, v)
	}
	return ok
}

// install renders the chart with values and decodes all of it.
func install(t *testing.T, values string) *cluster {
	t.Helper()
	manifests, notes, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	c := sort(t, decode(t, manifests))
	c.notes = notes
	return c
}

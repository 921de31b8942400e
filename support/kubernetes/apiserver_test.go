// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigs "sigs.k8s.io/yaml"
)

// collection returns the path of the objects of a kind, "" for kinds that the server does not have.
func (s *apiServer) collection(t *testing.T, version, kind, inNamespace string) string {
	t.Helper()
	path := "/apis/" + version
	if !strings.Contains(version, "/") {
		path = "/api/" + version
	}
	status, _, body, err := s.do(http.MethodGet, path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusNotFound {
		return ""
	}
	var list meta.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list.APIResources {
		switch {
		case r.Kind != kind || strings.Contains(r.Name, "/"):
		case r.Namespaced:
			return path + "/namespaces/" + inNamespace + "/" + r.Name
		default:
			return path + "/" + r.Name
		}
	}
	return ""
}

// apply applies an object as "kubectl apply --server-side" does, strictly. Warnings are
// errors of the test. It returns the object as the server has it, nil if it does not have it.
func (s *apiServer) apply(t *testing.T, manifest string) *meta.PartialObjectMetadata {
	t.Helper()
	var o meta.PartialObjectMetadata
	if err := sigs.Unmarshal([]byte(manifest), &o); err != nil {
		t.Fatal(err)
	}
	path := s.collection(t, o.APIVersion, o.Kind, o.Namespace)
	if path == "" {
		t.Errorf("the server has no %s %s", o.APIVersion, o.Kind)
		return nil
	}
	status, warnings, body, err := s.do(http.MethodPatch, path+"/"+o.Name+"?fieldManager=test&fieldValidation=Strict", "application/apply-patch+yaml", []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK && status != http.StatusCreated {
		t.Errorf("%s %s: %d %s", o.Kind, o.Name, status, body)
		return nil
	}
	for _, w := range warnings {
		t.Errorf("%s %s: the server warns: %s", o.Kind, o.Name, w)
	}
	var has meta.PartialObjectMetadata
	if err := json.Unmarshal(body, &has); err != nil {
		t.Fatal(err)
	}
	return &has
}

// pod asks whether a pod of a workload may be made in a namespace, and returns why not.
func (s *apiServer) pod(t *testing.T, w *workload, inNamespace string) string {
	t.Helper()
	pod := core.Pod{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: meta.ObjectMeta{Name: "one", Labels: w.template.Labels, Annotations: w.template.Annotations},
		Spec:       *w.template.Spec.DeepCopy(),
	}
	for _, claim := range w.claims { // as the controller of a StatefulSet does
		pod.Spec.Volumes = append(pod.Spec.Volumes, core.Volume{Name: claim, VolumeSource: core.VolumeSource{
			PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: claim + "-one"},
		}})
	}
	b, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	status, warnings, body, err := s.do(http.MethodPost, "/api/v1/namespaces/"+inNamespace+"/pods?dryRun=All&fieldValidation=Strict", "application/json", b)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("a pod in %s: the server warns: %s", inNamespace, w)
	}
	if status == http.StatusCreated {
		return ""
	}
	return string(body)
}

// applyTwice applies objects, and holds that the second time changes nothing: what the
// server keeps is what they say. The objects go with the test, namespaces stay.
func (s *apiServer) applyTwice(t *testing.T, manifests []string) {
	t.Helper()
	first := map[int]string{}
	for i, m := range manifests {
		o := s.apply(t, m)
		if o == nil {
			continue
		}
		s.took++
		first[i] = o.ResourceVersion
		t.Cleanup(func() { s.remove(t, o) })
	}
	for i, m := range manifests {
		if o := s.apply(t, m); o != nil && o.ResourceVersion != first[i] {
			t.Errorf("%s %s is not the same after it was applied again", o.Kind, o.Name)
		}
	}
}

// remove deletes an object that apply returned.
func (s *apiServer) remove(t *testing.T, o *meta.PartialObjectMetadata) {
	t.Helper()
	if o.Kind == "Namespace" {
		return
	}
	status, _, body, err := s.do(http.MethodDelete, s.collection(t, o.APIVersion, o.Kind, o.Namespace)+"/"+o.Name, "", nil)
	if err != nil || status != http.StatusOK {
		t.Errorf("delete %s %s: %d %s %v", o.Kind, o.Name, status, body, err)
	}
}

// TestAPIServer gives the manifests, and what the chart makes in each case, to a real API server.
func TestAPIServer(t *testing.T) {
	s := serve(t, "127.0.0.1")
	s.operators(t)
	s.namespace(t, namespace, "")
	t.Run("manifests", func(t *testing.T) {
		manifests := strings.Split(string(file(t, plain)), "\n---\n")[1:]
		s.applyTwice(t, manifests)
		s.checkPods(t, sort(t, decode(t, manifests)))
		s.checkAccess(t)
	})
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			manifests, _, err := render(values)
			if err != nil {
				t.Fatal(err)
			}
			s.applyTwice(t, manifests)
		})
	}
	t.Logf("it took %d objects", s.took)
}

// namespace makes a namespace that enforces a pod security standard, "" for none.
func (s *apiServer) namespace(t *testing.T, name, level string) {
	t.Helper()
	manifest := "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name + "\n"
	if level != "" {
		manifest += "  labels:\n"
		for _, mode := range []string{"enforce", "warn", "audit"} {
			manifest += fmt.Sprintf("    pod-security.kubernetes.io/%s: %s\n", mode, level)
		}
	}
	s.apply(t, manifest)
}

// checkPods holds that pods may be made in the namespace of the manifests, and those of the
// collection agent everywhere.
func (s *apiServer) checkPods(t *testing.T, c *cluster) {
	t.Helper()
	for _, w := range c.workloads() {
		if refusal := s.pod(t, w, namespace); refusal != "" {
			t.Errorf("%s in the namespace of the manifests: %s", w.name, refusal)
		}
	}
	for _, level := range []string{"baseline", "restricted"} {
		s.namespace(t, level, level)
		for _, account := range c.accounts {
			s.apply(t, "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: "+account.Name+"\n  namespace: "+level+"\n")
		}
		for _, w := range c.workloads() {
			switch refusal := s.pod(t, w, level); {
			case w.perNode && !strings.Contains(refusal, "violates PodSecurity"):
				t.Errorf("%s where the standard %q is enforced: %q, and docs/kubernetes.md says that it is refused", w.name, level, refusal)
			case !w.perNode && refusal != "":
				t.Errorf("%s where the standard %q is enforced: %s", w.name, level, refusal)
			}
		}
	}
}

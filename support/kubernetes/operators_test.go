// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	sigs "sigs.k8s.io/yaml"
)

// operators brings along the kinds of operators that the chart makes objects of, from the
// versions in go.mod.
func (s *apiServer) operators(t *testing.T) {
	t.Helper()
	s.define(t, filepath.Join(goTool(t, "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager"),
		"deploy/crds/cert-manager.io_certificates.yaml"))
	// The types are a module of their own, and the definitions in another of the same version.
	const operator = "github.com/prometheus-operator/prometheus-operator"
	version := goTool(t, "list", "-m", "-f", "{{.Version}}", operator+"/pkg/apis/monitoring")
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(goTool(t, "mod", "download", "-json", operator+"@"+version)), &module); err != nil {
		t.Fatal(err)
	}
	s.define(t, filepath.Join(module.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"))
}

// goTool returns what the go command prints.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...) //nolint:gosec // of the caller
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v %s", strings.Join(args, " "), err, &complaint)
	}
	return strings.TrimSpace(string(out))
}

// define makes a kind of its definition, and waits until the server has it. What the server
// warns of in definitions is the business of the operators.
func (s *apiServer) define(t *testing.T, path string) {
	t.Helper()
	var d struct {
		Metadata struct{ Name string }
		Spec     struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct{ Name string }
		}
	}
	definition := file(t, path)
	if err := sigs.Unmarshal(definition, &d); err != nil {
		t.Fatal(err)
	}
	const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
	status, _, body, err := s.do(http.MethodPatch, definitions+d.Metadata.Name+"?fieldManager=operator", "application/apply-patch+yaml", definition)
	if err != nil || status != http.StatusCreated {
		t.Fatalf("%s: %d %s %v", path, status, body, err)
	}
	eventually(t, func() error {
		for _, v := range d.Spec.Versions {
			collection := s.collection(t, d.Spec.Group+"/"+v.Name, d.Spec.Names.Kind, "default")
			if collection == "" {
				return fmt.Errorf("the server has no %s", d.Spec.Names.Kind)
			}
			if status, _, body, err := s.do(http.MethodGet, collection, "", nil); err != nil || status != http.StatusOK {
				return fmt.Errorf("list %s: %d %s %w", collection, status, body, err)
			}
		}
		return nil
	})
}

// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the plain manifests anew")

const plain = "manifests/strobe.yaml"

// file reads a file of the project.
func file(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestManifests holds that the plain manifests are what the chart makes.
func TestManifests(t *testing.T) {
	manifests, _, err := render(string(file(t, "manifests/values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# SPDX-License-Identifier: Apache-2.0\n" +
		"# Made of the chart and values.yaml by \"make manifests\". docs/kubernetes.md says how to use it.\n")
	for _, m := range manifests {
		// Nobody but Helm looks at these, and with kubectl there is none.
		for line := range strings.Lines(m) {
			switch trimmed := strings.TrimSpace(line); {
			case strings.HasPrefix(trimmed, "helm.sh/chart:"), strings.HasPrefix(trimmed, "app.kubernetes.io/managed-by:"):
				m = strings.Replace(m, line, "", 1)
			}
		}
		b.WriteString("---\n" + strings.TrimPrefix(m, "---\n"))
	}
	if *update {
		if err := os.WriteFile(plain, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := string(file(t, plain))
	if got != b.String() {
		t.Fatalf("%s is not what the chart makes: run make manifests", plain)
	}
	c := sort(t, decode(t, strings.Split(got, "\n---\n")[1:]))
	if len(c.namespaces) != 1 || c.namespaces[0].Name != namespace || c.daemonSet == nil || c.stateful == nil {
		t.Errorf("%d namespaces, DaemonSet %v, StatefulSet %v", len(c.namespaces), c.daemonSet != nil, c.stateful != nil)
	}
	if c.namespaces[0].Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Error("pod security admission would refuse the agents")
	}
}

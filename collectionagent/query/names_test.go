// SPDX-License-Identifier: Apache-2.0

package query

import (
	"slices"
	"testing"
)

// TestOtherNames: labels may be asked for by the names of OpenTelemetry.
func TestOtherNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{container.name="web"}`:                                        `container="web"`,
		`{k8s.container.name=~"w.*"}`:                                   `container=~"w.*"`,
		`{container.id="3f",k8s.pod.name!="p"}`:                         `container_id="3f",pod!="p"`,
		`{container.image.name="shop",k8s.pod.uid="x",container="web"}`: `container.image.name="shop",k8s.pod.uid="x",container="web"`,
	} {
		matchers, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		for i, m := range matchers {
			if i > 0 {
				got += ","
			}
			got += m.String()
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	by := []string{"service", "container.name"}
	if q := (&Selection{}).query(by); !slices.Equal(q.GroupBy, []string{"service", "container"}) || by[1] != "container.name" {
		t.Errorf("groups by %q, asked for %q", q.GroupBy, by)
	}
}

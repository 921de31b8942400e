// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// page is what the package of the web page says of what is in it.
type page struct {
	Dependencies map[string]string `json:"dependencies"`
}

func readPage(root string) (*page, error) {
	name := filepath.Join(root, "collectionagent/web/ui/package.json")
	b, err := os.ReadFile(name) //nolint:gosec // ours
	if err != nil {
		return nil, err
	}
	var p page
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &p, nil
}

// checkPage returns an error unless the licence of everything in the page is known.
func checkPage(root string) error {
	p, err := readPage(root)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Dependencies)) {
		if _, err := others.Open("licenses/" + name + ".txt"); err != nil {
			return fmt.Errorf("the page contains %s, and support/release/licenses has no licence of it", name)
		}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package query

import (
	"context"
	"fmt"
	"slices"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Label is the name of a label that can be asked for.
type Label struct {
	Name string
	// Builtin says that every store knows the name; it is not one that a program
	// or its environment made up.
	Builtin bool
}

// Labels lists the labels that the samples of a selection have: the built-in
// ones in the order a person looks for them, then the others by name.
func (e *Engine) Labels(ctx context.Context, s *Selection) ([]Label, error) {
	names, err := e.store.LabelNames(ctx, s.query(nil))
	if err != nil {
		return nil, fmt.Errorf("list labels: %w", err)
	}
	labels := make([]Label, 0, len(names))
	for _, name := range store.BuiltinLabels {
		if slices.Contains(names, name) {
			labels = append(labels, Label{name, true})
		}
	}
	for _, name := range names {
		if !slices.Contains(store.BuiltinLabels, name) {
			labels = append(labels, Label{name, false})
		}
	}
	return labels, nil
}

// LabelValues lists the values of a label with how much of the selection
// carries them, the largest first and at most limit, and how many are left out.
func (e *Engine) LabelValues(
	ctx context.Context, name string, s *Selection, limit int,
) (values []store.LabelValue, hidden int, err error) {
	found, err := e.store.LabelValues(ctx, s.query(nil), store.LabelSearch{Name: name, Limit: limit})
	if err != nil {
		return nil, 0, fmt.Errorf("list values of label %s: %w", name, err)
	}
	return found.Values, found.Hidden, nil
}

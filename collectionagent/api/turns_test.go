// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(3, 2)
		take := func(project string) (func(), error) { return turns.take(t.Context(), project, time.Second) }
		must := func(project string) func() {
			t.Helper()
			giveBack, err := take(project)
			if err != nil {
				t.Fatal(err)
			}
			return giveBack
		}
		a1, a2 := must("a"), must("a")
		if _, err := take("a"); err == nil || !strings.Contains(err.Error(), "-project-concurrent-queries") {
			t.Errorf("a third query of one project: %v", err)
		}
		b := must("b")
		if _, err := take("c"); err == nil || !strings.Contains(err.Error(), "-max-concurrent-queries") {
			t.Errorf("a fourth query: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.take(ctx, "c", time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("a query whose client left: %v", err)
		}
		waited := make(chan error, 1)
		go func() {
			giveBack, err := take("a")
			if err == nil {
				giveBack()
			}
			waited <- err
		}()
		synctest.Wait()
		a1()
		if err := <-waited; err != nil {
			t.Errorf("a query that waited: %v", err)
		}
		a2()
		b()
		if len(turns.projects) != 0 || len(turns.all) != 0 {
			t.Errorf("%d projects and %d turns are left", len(turns.projects), len(turns.all))
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// turns bounds how many questions are worked on at once, in all and of each
// project, so that those of one project leave room for others'. It is safe for
// concurrent use.
type turns struct {
	all        chan struct{}
	perProject int

	mu       sync.Mutex
	projects map[string]*projectTurns
}

// projectTurns exist while somebody holds or wants one.
type projectTurns struct {
	slots chan struct{}
	users int
}

func newTurns(all, perProject int) *turns {
	return &turns{all: make(chan struct{}, all), perProject: perProject, projects: map[string]*projectTurns{}}
}

// take waits, up to patience, until there are few enough questions to work on one
// more of the project. The caller gives the turn back with the function returned.
func (t *turns) take(ctx context.Context, project string, patience time.Duration) (giveBack func(), err error) {
	own := t.enter(project)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	// First the project's: who waits for it holds nothing that others could use.
	for i, slots := range []chan struct{}{own.slots, t.all} {
		select {
		case slots <- struct{}{}:
			continue
		default:
		}
		select {
		case slots <- struct{}{}:
			continue
		case <-timer.C:
			err = busy(fmt.Sprintf("the server has %d queries running, which is its limit "+
				"(-max-concurrent-queries); try again", cap(t.all)), "busy")
			if i == 0 && t.perProject < cap(t.all) {
				err = busy(fmt.Sprintf("the project has %d queries running, which is its limit "+
					"(-project-concurrent-queries); try again", t.perProject), "project_busy")
			}
		case <-ctx.Done():
			err = ctx.Err()
		}
		if i == 1 {
			<-own.slots
		}
		t.leave(project, own)
		return nil, err
	}
	return func() {
		<-t.all
		<-own.slots
		t.leave(project, own)
	}, nil
}

func (t *turns) enter(project string) *projectTurns {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.projects[project]
	if own == nil {
		own = &projectTurns{slots: make(chan struct{}, t.perProject)}
		t.projects[project] = own
	}
	own.users++
	return own
}

func (t *turns) leave(project string, own *projectTurns) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.projects, project)
	}
}

// busy returns the error for a question that was not worked on.
func busy(message, reason string) *requestError {
	return &requestError{status: http.StatusServiceUnavailable, reason: reason, Message: message}
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"
	"time"
)

// source is somebody to ask. Its methods are called from one goroutine.
type source interface {
	// kind is docker, cri or kubelet; where its socket or URL.
	kind() string
	where() string
	// look asks for containers and calls tell with what is known of any, those that
	// were asked for or others. Who is not told of is not there.
	look(ctx context.Context, ids []string, tell func(id string, c container)) error
	close()
}

// follower is a source that says itself when containers start or are renamed.
type follower interface {
	// follow calls changed with the IDs of containers until ctx or the connection ends.
	// It is called from a goroutine of its own, beside look.
	follow(ctx context.Context, changed func(id string)) error
}

// Kinds of sources.
const (
	kindDocker  = "docker"
	kindCRI     = "cri"
	kindKubelet = "kubelet"
)

// Reasons why a source does not answer, as they are counted.
const (
	reasonAbsent      = "absent"      // no socket there
	reasonDenied      = "denied"      // not allowed to open it, or the token does not do
	reasonTimeout     = "timeout"     // no answer in time
	reasonUnsupported = "unsupported" // something else answers there
	reasonError       = "error"       // anything else
)

// errDenied and errUnsupported are wrapped by sources.
var (
	errDenied      = errors.New("access denied")
	errUnsupported = errors.New("does not speak this protocol")
	errTooLarge    = errors.New("the answer is too large")
)

// reasonOf sorts an error.
func reasonOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, errDenied), errors.Is(err, fs.ErrPermission):
		return reasonDenied
	case errors.Is(err, errUnsupported):
		return reasonUnsupported
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return reasonAbsent
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return reasonTimeout
	}
	return reasonError
}

// Limits of asking.
const (
	// lookTimeout is for one question. Runtimes answer in milliseconds; one that is
	// overloaded must not be asked again and again.
	lookTimeout = 5 * time.Second
	// maxBackoff is the longest pause of a source that fails. One that is not there may
	// be installed or started while the agent runs.
	minBackoff = time.Second
	maxBackoff = 2 * time.Minute
	// minInterval is between two questions. What is wanted meanwhile is asked for together.
	minInterval = 100 * time.Millisecond
	// minKubeletInterval is longer, because its only answer is that of all pods.
	minKubeletInterval = 2 * time.Second
)

// retries are the pauses after which a container that was not there is asked for again.
var retries = []time.Duration{250 * time.Millisecond, time.Second, 4 * time.Second, 15 * time.Second}

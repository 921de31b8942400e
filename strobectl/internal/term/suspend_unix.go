// SPDX-License-Identifier: Apache-2.0

//go:build unix

package term

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Continued returns a channel that tells when the program goes on after it was stopped,
// and what ends that.
func Continued() (again <-chan os.Signal, end func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGCONT)
	return c, func() { signal.Stop(c) }
}

// suspend stops the program with all of its job, and returns when it goes on. Where
// there is no shell that could let it go on, the system does not stop it.
func suspend() {
	again, end := Continued()
	defer end()
	if syscall.Kill(0, syscall.SIGTSTP) != nil {
		return
	}
	// The stop may come a little later than the call ends; a timer stands still with the program.
	select {
	case <-again:
	case <-time.After(200 * time.Millisecond):
	}
}

// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"net/http/httptest"
	"testing"
)

// faulty is a body whose reader has a fault.
type faulty struct{}

func (faulty) Read([]byte) (int, error) { panic("a fault") }

// TestReceiveGivesBack has a fault while a body is read: neither its memory nor its place is
// lost.
func TestReceiveGivesBack(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Config{})
	func() {
		defer s.Recovered("test")
		_, _, _, err := s.Receive(httptest.NewRecorder(), httptest.NewRequest("POST", "/", faulty{}))
		t.Errorf("the fault ended as %v", err)
	}()
	if n := counterValue(t, s.metrics.panics); n != 1 {
		t.Errorf("%g faults are counted", n)
	}
	if n := s.budget.inUse(); n != 0 || len(s.slots) != 0 {
		t.Errorf("%d bytes and %d places are still held", n, len(s.slots))
	}
}

// SPDX-License-Identifier: Apache-2.0

package reporter

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/strobe-profiler/strobe/proto/tlsfiles"
)

// transport carries sealed requests to the server. Only the flusher calls it.
type transport interface {
	// reach connects within the time of ctx. contact is false for a transport that
	// connects only to send, so that nothing is known of the server yet.
	reach(ctx context.Context) (contact bool, err error)
	// send makes one attempt at a request and reads the answer into resp. Its error is one
	// that the source can judge.
	send(ctx context.Context, method string, payload []byte, resp proto.Message) error
	// close ends the connections. It is called once.
	close() error
	// shared returns what all transports have.
	shared() *line
}

// line is what all transports have.
type line struct {
	counts *byteCounts
	token  *tokenFile      // nil: none
	files  *tlsfiles.Files // nil without TLS
}

func newLine(s *settings, files *tlsfiles.Files) line {
	return line{counts: &byteCounts{}, token: newTokenFile(s), files: files}
}

func (l *line) shared() *line { return l }

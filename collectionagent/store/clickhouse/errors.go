// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// Codes of errors of the server, from its list of error codes.
const (
	codeTimeout          = 159
	codeReadOnly         = 164
	codeTooManyQueries   = 202
	codeSocketTimeout    = 209
	codeNetwork          = 210
	codeNoZooKeeper      = 225
	codeMemory           = 241
	codeTableReadOnly    = 242
	codeNoSpace          = 243
	codeTooManyParts     = 252
	codeTooFewReplicas   = 285
	codeQuorumInProgress = 286
	codeAllReplicasLost  = 279
	codeNoReplicaPart    = 289
	codeUnknownStatus    = 319
	codeKeeper           = 999
)

// codeOf returns the code of a server's error, 0 for any other.
func codeOf(err error) int32 {
	if e, ok := errors.AsType[*driver.Exception](err); ok {
		return e.Code
	}
	return 0
}

// isAway reports whether an error means that no server could be reached.
func isAway(err error) bool {
	var network net.Error
	var op *net.OpError
	return errors.As(err, &op) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrAcquireConnTimeout)
}

// writeError is an error of a write as agents see it. Its text says no more than
// the code of the server's error: the rest, which is in the log, is not theirs.
type writeError struct {
	kind  error // store.ErrBusy or store.ErrReadOnly
	cause error
}

// Error implements error.
func (e *writeError) Error() string {
	if code := codeOf(e.cause); code != 0 {
		return fmt.Sprintf("%v: clickhouse answers with error %d", e.kind, code)
	}
	return fmt.Sprintf("%v: clickhouse does not answer", e.kind)
}

// Unwrap returns the causes.
func (e *writeError) Unwrap() []error { return []error{e.kind, e.cause} }

// forWriter turns an error of a write into one that makes agents wait: they keep
// what they could not send, whatever the cause on our side is.
func forWriter(err error) error {
	if _, ok := errors.AsType[*writeError](err); ok {
		return err
	}
	switch code := codeOf(err); code {
	case codeTooManyParts, codeMemory, codeTooManyQueries, codeTimeout, codeSocketTimeout, codeQuorumInProgress, codeUnknownStatus:
		return &writeError{store.ErrBusy, err}
	case codeReadOnly, codeTableReadOnly, codeNoSpace, codeNoZooKeeper, codeKeeper, codeTooFewReplicas, codeAllReplicasLost,
		codeNoReplicaPart, codeNetwork:
		return &writeError{store.ErrReadOnly, err}
	case 0:
		if isAway(err) || errors.Is(err, context.DeadlineExceeded) {
			return &writeError{store.ErrReadOnly, err}
		}
	}
	return fmt.Errorf("clickhouse: %w", err)
}

// forReader gives an error of a query the cause that callers know: that of the
// context, if it ended.
func forReader(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	switch codeOf(err) {
	case codeTimeout:
		return fmt.Errorf("query takes too long, ask for less time: %w", err)
	case codeMemory:
		return fmt.Errorf("query needs too much memory, ask for less time: %w", err)
	}
	return fmt.Errorf("clickhouse: %w", err)
}

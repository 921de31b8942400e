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
	var e *driver.Exception
	if errors.As(err, &e) {
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

// forWriter turns an error of a write into one that makes agents wait: they keep
// what they could not send, whatever the cause on our side is.
func forWriter(err error) error {
	switch code := codeOf(err); code {
	case codeTooManyParts, codeMemory, codeTooManyQueries, codeTimeout, codeSocketTimeout, codeQuorumInProgress, codeUnknownStatus:
		return fmt.Errorf("%w: clickhouse: %w", store.ErrBusy, err)
	case codeReadOnly, codeTableReadOnly, codeNoSpace, codeNoZooKeeper, codeKeeper, codeTooFewReplicas, codeAllReplicasLost,
		codeNoReplicaPart, codeNetwork:
		return fmt.Errorf("%w: clickhouse: %w", store.ErrReadOnly, err)
	case 0:
		if isAway(err) || errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: clickhouse does not answer: %w", store.ErrReadOnly, err)
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

// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"

	driver "github.com/ClickHouse/clickhouse-go/v2"
	chdriver "github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Settings are settings of the server for one statement.
type Settings map[string]int

// Column is a column of rows to insert: a slice of one Go type that fits the
// column's type, such as []string, []uint64 or []map[string]string.
type Column struct {
	Name   string
	Values any
}

// Rows are the rows of an answer.
type Rows interface {
	Next() bool
	// Scan copies the values of the row to where dest points.
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Conn talks to a server. It is safe for concurrent use. The engine's own one
// speaks the native protocol; tests put others in its place.
type Conn interface {
	Exec(ctx context.Context, query string, settings Settings) error
	// Query sends a query. When the context ends, the server stops working on it.
	Query(ctx context.Context, query string, settings Settings) (Rows, error)
	// Insert sends all rows as one block. table is quoted.
	Insert(ctx context.Context, table string, columns []Column, settings Settings) error
	Close() error
}

// native is a pool of connections over the native protocol.
type native struct{ conn chdriver.Conn }

// dial makes a pool. It does not connect.
func dial(options *driver.Options) (*native, error) {
	conn, err := driver.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open clickhouse: %w", err)
	}
	return &native{conn}, nil
}

// with returns a context that carries settings.
func with(ctx context.Context, settings Settings) context.Context {
	s := make(driver.Settings, len(settings))
	for k, v := range settings {
		s[k] = v
	}
	return driver.Context(ctx, driver.WithSettings(s))
}

// Exec implements [Conn].
func (n *native) Exec(ctx context.Context, query string, settings Settings) error {
	return n.conn.Exec(with(ctx, settings), query)
}

// Query implements [Conn].
func (n *native) Query(ctx context.Context, query string, settings Settings) (Rows, error) {
	// At a deadline the driver would only close the connection, and the server go
	// on until it notices; when a context is cancelled it tells the server.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	rows, err := n.conn.Query(with(own, settings), query)
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	return &nativeRows{rows, stop, cancel}, nil
}

// nativeRows stop the query on the server when they are closed early.
type nativeRows struct {
	chdriver.Rows
	stop   func() bool
	cancel context.CancelFunc
}

// Close implements [Rows].
func (r *nativeRows) Close() error {
	r.stop()
	r.cancel()
	return r.Rows.Close()
}

// Insert implements [Conn].
func (n *native) Insert(ctx context.Context, table string, columns []Column, settings Settings) error {
	// The driver's goroutine that closes the connection when the context ends may
	// still see that after the insert has ended, when somebody else has the
	// connection. So it gets a context that ends only while the insert runs.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	err := n.send(own, table, columns, settings)
	if !stop() && err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// send sends rows.
func (n *native) send(ctx context.Context, table string, columns []Column, settings Settings) error {
	var s statement
	s.add("INSERT INTO ", text(table), " ")
	join(&s, columns, func(c Column) { s.ident(c.Name) })
	batch, err := n.conn.PrepareBatch(with(ctx, settings), s.String())
	if err != nil {
		return err
	}
	for i, c := range columns {
		if err := batch.Column(i).Append(c.Values); err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return batch.Send()
}

// Close implements [Conn].
func (n *native) Close() error { return n.conn.Close() }

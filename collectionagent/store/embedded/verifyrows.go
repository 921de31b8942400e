// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/strobe-profiler/strobe/collectionagent/store"
)

// compareTable reads all rows of a file as any reader of Parquet would, and
// compares them with the table of series. split parts what rows of a series
// differ in from what they share. It returns the sums of count and value.
func compareTable[R comparable](
	ctx context.Context, c *blockContent, info *blockInfo, describe func(*store.Series) (R, error), split func(*R) (row, R),
) (sums [2]int64, err error) {
	reader := parquet.NewGenericReader[R](c.parquet)
	defer func() { err = errors.Join(err, reader.Close()) }()
	var (
		at    int         // of the series
		left  int64       // rows of it to come
		fixed R           // what they share
		got   blockSeries // what they sum up to
		n     int64
	)
	buf := make([]R, 1024)
	for {
		if err := ctx.Err(); err != nil {
			return sums, err
		}
		read, err := reader.Read(buf)
		for i := range buf[:read] {
			for left == 0 {
				if at == len(c.series) {
					return sums, fmt.Errorf("%w: more rows than its series table has", errCodec)
				}
				left, got = c.series[at].rows, blockSeries{}
				var err error
				if fixed, err = describe(&c.series[at].series); err != nil {
					return sums, err
				}
				at++
			}
			r, shared := split(&buf[i])
			if shared != fixed {
				return sums, fmt.Errorf("%w: row %d is of another series than its table says", errCodec, n)
			}
			if c.columns.hasRatio && r.value != r.count*c.columns.ratio {
				return sums, fmt.Errorf("%w: the value of row %d is not %d times its count, as the footer says", errCodec, n, c.columns.ratio)
			}
			if got.rows == 0 {
				got.minTime, got.maxTime = r.time, r.time
			}
			got.rows++
			got.count += r.count
			got.value += r.value
			got.minTime, got.maxTime = min(got.minTime, r.time), max(got.maxTime, r.time)
			sums[0] += r.count
			sums[1] += r.value
			n++
			if left--; left > 0 {
				continue
			}
			want := &c.series[at-1]
			if got.count != want.count || got.value != want.value || got.minTime != want.minTime || got.maxTime != want.maxTime {
				return sums, fmt.Errorf("%w: the rows of series %d of %d do not sum up to what its table says", errCodec, at, len(c.series))
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sums, fmt.Errorf("read rows: %w", err)
		}
	}
	if n != info.Rows || left > 0 {
		return sums, fmt.Errorf("%w: %d rows can be read of %d", errCodec, n, info.Rows)
	}
	return sums, nil
}

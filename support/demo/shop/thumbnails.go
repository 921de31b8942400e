// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The neighbour works for burst of every period, which makes it a fifth of a CPU on average and a
// whole one while it lasts.
const (
	period = 20 * time.Second
	burst  = 4 * time.Second
)

// thumbnails is the noisy neighbour: it makes small pictures of large ones, all at once, then
// nothing for a while.
func thumbnails(ctx context.Context) error {
	large := newPicture(2048)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		made := 0
		for end := time.Now().Add(burst); time.Now().Before(end) && ctx.Err() == nil; made++ {
			shrink(large, 8)
		}
		slog.Info("thumbnails made", "count", made)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

type picture struct {
	size   int
	pixels []uint8
}

func newPicture(size int) picture {
	p := picture{size: size, pixels: make([]uint8, size*size)}
	for i := range p.pixels {
		p.pixels[i] = uint8(rand.IntN(256)) //nolint:gosec // a picture of nothing
	}
	return p
}

// shrink returns the picture with one pixel, their mean, for each square of by pixels.
func shrink(p picture, by int) picture {
	small := picture{size: p.size / by, pixels: make([]uint8, (p.size/by)*(p.size/by))}
	for y := range small.size {
		for x := range small.size {
			small.pixels[y*small.size+x] = meanOfSquare(p, x*by, y*by, by)
		}
	}
	return small
}

func meanOfSquare(p picture, x, y, by int) uint8 {
	sum := 0
	for dy := range by {
		row := p.pixels[(y+dy)*p.size+x:]
		for dx := range by {
			sum += int(row[dx])
		}
	}
	return uint8(sum / (by * by)) //nolint:gosec // a mean of bytes
}

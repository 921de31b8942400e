// SPDX-License-Identifier: Apache-2.0

//go:build race

package embedded

import "github.com/parquet-go/parquet-go/compress/snappy"

// raceEnabled says that everything takes ten times as long: tests that do a thing
// many times do it less often.
const raceEnabled = true

// With the race detector a pool drops a quarter of what is put into it at random, so
// that encoders of megabytes each are made anew all the time: more than half of what
// these tests take. How pages are compressed is tried without the detector.
func init() { blockCodec = &snappy.Codec{} }

// SPDX-License-Identifier: Apache-2.0

package lineproxy

// prefaceBytes is the length of what a client of HTTP/2 sends first (RFC 9113, 3.4).
const prefaceBytes = 24

const (
	frameHeaderBytes = 9
	frameData        = 0
	// minDataBytes is the least payload of a frame that is worth being cut.
	minDataBytes = 64
)

// frames follows the frames of HTTP/2 that a client sends, without their content.
// It is for one goroutine.
type frames struct {
	prefaceSeen int
	header      [frameHeaderBytes]byte
	headerSeen  int
	length      int // of the payload of the current frame
	seen        int // of the payload
}

// feed takes the next bytes and returns the offset in them at which half of the
// payload of a DATA frame has passed, or -1.
func (f *frames) feed(b []byte) int {
	middle := -1
	for at := 0; at < len(b); {
		if n := min(prefaceBytes-f.prefaceSeen, len(b)-at); n > 0 {
			f.prefaceSeen += n
			at += n
			continue
		}
		if f.headerSeen < frameHeaderBytes {
			n := copy(f.header[f.headerSeen:], b[at:])
			f.headerSeen += n
			at += n
			if f.headerSeen == frameHeaderBytes {
				f.length = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
				f.seen = 0
			}
		}
		n := min(f.length-f.seen, len(b)-at)
		if f.headerSeen == frameHeaderBytes {
			half := f.length / 2
			if middle < 0 && f.header[3] == frameData && f.length >= minDataBytes && f.seen < half && f.seen+n >= half {
				middle = at + half - f.seen
			}
			f.seen += n
			at += n
			if f.seen == f.length {
				f.headerSeen = 0
			}
		}
	}
	return middle
}

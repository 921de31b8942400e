// SPDX-License-Identifier: Apache-2.0

package php

import (
	"encoding/binary"
)

// Where the engine keeps the names of the files that a request has included, until it ends:
// the same in 7.3 to 8.5. The code of such a file has a copy of its name since 8.1, and both
// are freed when the code is done, which may be before the agent comes to read them.
const (
	includedFiles  = 360 // in executor_globals, where current_execute_data is at layout.currentCall
	tableBuckets   = 16  // in zend_array, with the number of buckets behind it
	bucketSize     = 32
	bucketHash     = 16
	bucketKey      = 24
	maxIncluded    = 512 // that are looked at: each costs a system call
	includedPerGet = bucketSize * maxIncluded
)

// findIncluded finds the name of a file that was included by what the kernel side saw of it:
// wanted are the cookie of its code up to the file, and the word with the lower bits of the
// whole. The newest files are looked at first.
func (i *instance) findIncluded(cookie, wanted uint64) (text, bool) {
	if i.included == 0 {
		return text{}, false
	}
	var table [12]byte
	if i.memory.Read(table[:], i.included+tableBuckets) != nil {
		return text{}, false
	}
	at, used := binary.LittleEndian.Uint64(table[:]), uint64(binary.LittleEndian.Uint32(table[8:]))
	n := min(used, maxIncluded)
	if at == 0 || n == 0 {
		return text{}, false
	}
	buckets, err := i.memory.Bytes(at+(used-n)*bucketSize, n*bucketSize, includedPerGet)
	if err != nil {
		return text{}, false
	}
	for ; len(buckets) >= bucketSize; buckets = buckets[:len(buckets)-bucketSize] {
		b := buckets[len(buckets)-bucketSize:]
		file, err := i.text(binary.LittleEndian.Uint64(b[bucketKey:]))
		if err != nil || file.at == 0 || file.hash != binary.LittleEndian.Uint64(b[bucketHash:]) {
			continue
		}
		if (file.mix(cookie)^wanted)&packedMask == 0 {
			return file, true
		}
	}
	return text{}, false
}

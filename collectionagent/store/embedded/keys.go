// SPDX-License-Identifier: Apache-2.0

package embedded

import (
	"encoding/binary"

	"github.com/strobe-profiler/strobe/collectionagent/store"
	"github.com/strobe-profiler/strobe/libpf"
)

// Keys in Pebble start with a byte that says what they are of. Those of a
// project go on with its length-prefixed name, so that no project's keys are a
// prefix of another's.
const (
	keyEpoch      = "e" // 16 bytes
	keyFormat     = "v" // format of the directory, in digits; the file FORMAT has it as well
	keyWALFirst   = "l" // uvarint: first log segment that is still needed; then maybe uvarint: from where on
	keyExpired    = "t" // varint: time in ms before which nothing is visible
	keyCounts     = "c" // numbers of definitions
	keyOwner      = "o" // 16 bytes: names the store in object storage; absent before it uses any
	keyHorizon    = 'r' // + project, type: up to which time samples and sums were removed for want of room
	keyBlock      = 'k' // + number: blockInfo
	keySeries     = 'i' // + number: series table of the block; + kind: of a companion
	keyWindow     = 'w' // + kind, project, host, run, type: window
	keyStack      = 's' // + project, hash: frames, or in which pack they are
	keyPack       = 'p' // + project, number: many stacks
	keySymbol     = 'f' // + project, frame: symbol
	keyExecutable = 'x' // + project, file: executable
	keyHost       = 'h' // + project, host: host
	keyMetric     = 'm' // + project, host, metric, time: value
)

func projectKey(kind byte, project string) []byte {
	return appendString([]byte{kind}, project)
}

func blockKey(kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, number)
}

// tableKey is the key of the series table of a block, or of a companion of it.
func tableKey(number uint64, kind sumsKind) []byte {
	return append(blockKey(keySeries, number), kind...)
}

func stackKey(project string, h libpf.TraceHash) []byte {
	return h.AppendBytes(projectKey(keyStack, project))
}

func packKey(project string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(projectKey(keyPack, project), number)
}

func symbolKey(project string, id libpf.FrameID) []byte {
	b := id.FileID.AppendBytes(projectKey(keySymbol, project))
	return binary.BigEndian.AppendUint64(b, uint64(id.AddressOrLineno))
}

func executableKey(project string, id libpf.FileID) []byte {
	return id.AppendBytes(projectKey(keyExecutable, project))
}

func hostKey(project, host string) []byte {
	return append(projectKey(keyHost, project), host...)
}

func metricKey(project string, m *store.MetricPoint) []byte {
	b := appendString(projectKey(keyMetric, project), m.HostID)
	b = binary.BigEndian.AppendUint32(b, m.ID)
	return binary.BigEndian.AppendUint32(b, uint32(m.Time))
}

// windowKey is the key of the window that a batch belongs to. Windows of
// samples and of definitions are kept apart because different locks guard them.
func windowKey(kind byte, id *store.BatchID) []byte {
	b := appendString([]byte{keyWindow, kind}, id.Project)
	b = appendString(b, id.HostID)
	b = append(b, id.RunID[:]...)
	return append(b, byte(id.Type))
}

// prefixEnd returns the first key behind all keys with the prefix.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

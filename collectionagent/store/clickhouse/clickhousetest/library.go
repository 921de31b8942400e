// SPDX-License-Identifier: Apache-2.0

package clickhousetest

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"unsafe"

	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"github.com/ebitengine/purego"
)

// library is the engine as a library, libchdb, on one directory: it cannot have
// two in a process. It does one thing at a time.
type library struct {
	mu      sync.Mutex
	conn    uintptr           // what the library calls a connection
	applied map[string]string // settings that are not at their defaults

	query   func(conn uintptr, query *byte, length uintptr, format *byte, formatLength uintptr) uintptr
	destroy func(result uintptr)
	buffer  func(result uintptr) unsafe.Pointer
	length  func(result uintptr) uintptr
	failure func(result uintptr) unsafe.Pointer
}

// openLibrary loads the library and opens a directory, with a configuration unless it is "".
func openLibrary(path, dir, config string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libchdb: %w", err)
	}
	l := &library{applied: make(map[string]string)}
	var connect func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	var handleSignals func(on bool)
	for name, f := range map[string]any{
		"chdb_connect": &connect, "chdb_set_signal_handlers_enabled": &handleSignals, "chdb_query_n": &l.query,
		"chdb_destroy_query_result": &l.destroy, "chdb_result_buffer": &l.buffer, "chdb_result_length": &l.length,
		"chdb_result_error": &l.failure,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("load libchdb: %w", err)
		}
		purego.RegisterFunc(f, symbol)
	}
	handleSignals(false) // they are the Go runtime's
	arguments := [][]byte{[]byte("clickhouse\x00"), []byte("--path=" + dir + "\x00")}
	if config != "" {
		arguments = append(arguments, []byte("--config-file="+config+"\x00"))
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, len(arguments)+1)
	for i, a := range arguments {
		pin.Pin(&a[0])
		argv[i] = &a[0]
	}
	pin.Pin(&argv[0])
	conn := connect(int32(len(arguments)), unsafe.Pointer(&argv[0])) //nolint:gosec // two or three
	if conn == nil {
		return nil, errors.New("libchdb does not open its directory")
	}
	l.conn = *(*uintptr)(conn) // the answer points to the handle
	// Statements of tests are many and small.
	for _, set := range []string{"max_threads = 1", "compile_expressions = 0", "compile_aggregate_expressions = 0"} {
		if _, err := l.do("SET "+set, "Null"); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// run runs a statement with settings and returns its answer in a format.
func (l *library) run(query, format string, settings map[string]string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Only what differs from the statement before: each takes a while.
	for name := range l.applied {
		if _, ok := settings[name]; ok {
			continue
		}
		if _, err := l.do("SET "+name+" = DEFAULT", "Null"); err != nil {
			return nil, err
		}
		delete(l.applied, name)
	}
	for name, value := range settings {
		if l.applied[name] == value {
			continue
		}
		if _, err := l.do("SET "+name+" = "+quote(value), "Null"); err != nil {
			return nil, err
		}
		l.applied[name] = value
	}
	return l.do(query, format)
}

// quote returns a string literal.
func quote(s string) string {
	var b []byte
	for _, c := range []byte(s) {
		if c == '\'' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return "'" + string(b) + "'"
}

// do runs a statement.
func (l *library) do(query, format string) ([]byte, error) {
	q, f := []byte(query+"\x00"), []byte(format+"\x00")
	result := l.query(l.conn, &q[0], uintptr(len(query)), &f[0], uintptr(len(format)))
	runtime.KeepAlive(q)
	runtime.KeepAlive(f)
	if result == 0 {
		return nil, errors.New("libchdb has no answer")
	}
	defer l.destroy(result)
	if message := l.failure(result); message != nil {
		return nil, exception(cString(message))
	}
	n := l.length(result)
	if n == 0 {
		return nil, nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(l.buffer(result)), n)...), nil
}

// cString copies a string that ends with a zero byte.
func cString(p unsafe.Pointer) string {
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// errorCode finds the code in the text of an error.
var errorCode = regexp.MustCompile(`Code: (\d+)\. `)

// exception returns an error of the engine as a server sends it.
func exception(message string) *proto.Exception {
	e := &proto.Exception{Code: 1, Name: "DB::Exception", Message: message}
	if m := errorCode.FindStringSubmatch(message); m != nil {
		if code, err := strconv.ParseInt(m[1], 10, 32); err == nil {
			e.Code = int32(code)
		}
	}
	return e
}

// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// A value that is large because of a few long columns of numbers says so, so that
// these are written without reflection, which takes several times as long.
type columnar interface {
	// columns returns the value with all but its columns of numbers, and how they
	// are written behind what it has.
	columns() (rest any, appendColumns func([]byte) []byte, err error)
	// numbers is about how many numbers there are.
	numbers() int
}

// numberBytes is about how long a number is with its comma.
const numberBytes = 8

// appendNumbers appends a column as a member of an object, behind a comma.
func appendNumbers[T int | int64 | uint32 | uint64](b []byte, name string, column []T) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":[`...)
	for i, v := range column {
		if i > 0 {
			b = append(b, ',')
		}
		if v < 0 {
			b = strconv.AppendInt(b, int64(v), 10)
		} else {
			b = strconv.AppendUint(b, uint64(v), 10)
		}
	}
	return append(b, ']')
}

// appendObject appends a member that is an object of columns, at least one, behind a comma.
func appendObject(b []byte, name string, appendColumns func([]byte) []byte) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	at := len(b)
	b = appendColumns(b)
	b[at] = '{' // in place of the first comma
	return append(b, '}')
}

// encode writes a value as JSON.
func encode(v any) ([]byte, error) {
	var appendColumns func([]byte) []byte
	room := 0
	if c, ok := v.(columnar); ok {
		var err error
		if v, appendColumns, err = c.columns(); err != nil {
			return nil, err
		}
		room = c.numbers() * numberBytes
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false) // names are full of < and >
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	if appendColumns == nil {
		return body.Bytes(), nil
	}
	b := slices.Grow(bytes.TrimSuffix(body.Bytes(), []byte("}\n")), room)
	return append(appendColumns(b), "}\n"...), nil
}

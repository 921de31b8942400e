// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"fmt"
)

// ErrTooLarge is returned (wrapped) when a question matches more than an answer
// may be made of.
var ErrTooLarge = errors.New("answer too large")

// SyntaxError says what is wrong with a text that a person wrote, and where.
type SyntaxError struct {
	// Position is the offset of the mistake in bytes from the start of the text.
	Position int
	// Message says what was found and what was expected.
	Message string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("position %d: %s", e.Position, e.Message)
}

func syntaxErrorf(position int, format string, args ...any) *SyntaxError {
	return &SyntaxError{Position: position, Message: fmt.Sprintf(format, args...)}
}

// SPDX-License-Identifier: Apache-2.0

package otlp

import "errors"

// OTLP 1.10 gave the fields of samples other numbers, and 1.7 to 1.9 those of
// profiles, without another name for the whole: a request of before is read as one
// of today and makes sense nowhere. It shows in two ways.
//
// A field has a number of today with a type that nobody writes it with today, such
// as the attributes of a sample of 1.8 and 1.9, which have the number of a link. Those
// who read as they should skip such a field, and store samples without values.
//
// Or a sample has no values but as many attributes as it should have values, and it is
// not valid. That may be what is left of a sample of 1.9 without attributes.

// oldLayout says what to do.
const oldLayout = "the layout of OTLP 1.9 or before, whose fields have other numbers: send OTLP 1.10 or later, " +
	"as the OpenTelemetry Collector does from v0.148.0"

// ErrOldLayout is returned for a request of OTLP 1.9 or before.
var ErrOldLayout error = &FieldError{Field: "request", Description: "has " + oldLayout}

// valuesAsAttributes reports whether a sample may have been written in the layout of OTLP 1.9.
func valuesAsAttributes(s *sampleEntry) bool {
	return s.values.len() == 0 && s.attributes.len() == max(s.times.len(), 1)
}

// orOldLayout adds to what is wrong with a sample that its layout may be the reason.
func orOldLayout(s *sampleEntry, err error) error {
	var field *FieldError
	if valuesAsAttributes(s) && errors.As(err, &field) {
		field.Description += "; perhaps the request has " + oldLayout
	}
	return err
}

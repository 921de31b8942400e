// SPDX-License-Identifier: Apache-2.0

package push

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxLabels bounds the labels of a profile; a series has fewer.
const maxLabels = 1 << 10

// parseName takes a name such as shop.cart{region=eu,zone="a,b"} apart.
func parseName(text string) (app string, labels map[string]string, err error) {
	app, list, braces := strings.Cut(text, "{")
	app = strings.TrimSpace(app)
	if app == "" {
		return "", nil, errors.New("has no name of an application: expected one such as shop{region=eu}")
	}
	labels = map[string]string{}
	if !braces {
		return app, labels, nil
	}
	for {
		list = strings.TrimSpace(list)
		if strings.HasPrefix(list, "}") {
			if rest := strings.TrimSpace(list[1:]); rest != "" {
				return "", nil, fmt.Errorf("%.100q stands after the labels", rest)
			}
			return app, labels, nil
		}
		key, rest, ok := strings.Cut(list, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.ContainsAny(key, `{},"`) {
			return "", nil, fmt.Errorf("label %d is not key=value", len(labels)+1)
		}
		var value string
		if value, list, err = parseValue(strings.TrimLeft(rest, " ")); err != nil {
			return "", nil, fmt.Errorf("label %.100q: %w", key, err)
		}
		if len(labels) == maxLabels {
			return "", nil, fmt.Errorf("more than %d labels", maxLabels)
		}
		labels[key] = value
	}
}

// parseValue reads a value, quoted or not, and returns what stands after it and its comma.
func parseValue(text string) (value, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", errors.New("the value has no closing quote")
		}
		if value, err = strconv.Unquote(quoted); err != nil {
			return "", "", errors.New("the value is not a text in quotes")
		}
		rest = strings.TrimLeft(text[len(quoted):], " ")
	} else {
		end := strings.IndexAny(text, ",}")
		if end < 0 {
			return "", "", errors.New("the closing brace is missing")
		}
		value, rest = strings.TrimSpace(text[:end]), text[end:]
	}
	switch {
	case strings.HasPrefix(rest, ","):
		return value, rest[1:], nil
	case strings.HasPrefix(rest, "}"):
		return value, rest, nil
	}
	return "", "", errors.New("expected a comma or the closing brace after the value")
}

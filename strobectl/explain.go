// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/strobe-profiler/strobe/internal/nearest"
	"github.com/strobe-profiler/strobe/strobectl/internal/client"
	"github.com/strobe-profiler/strobe/strobectl/internal/term"
)

// explain says what to do about an error, "" where there is nothing to add.
func explain(err error) string {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return explainRefused(refused)
	}
	var away *client.UnreachableError
	if !errors.As(err, &away) {
		return ""
	}
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, client.ErrSilent):
		return "Shorten the range or narrow the query; or let it take longer with -timeout."
	case errors.As(err, &unknown):
		return "The certificate is of an authority that this system does not know: name its file with -ca-file FILE."
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "The server speaks plain HTTP: write -server http://…"
	case strings.Contains(err.Error(), "malformed HTTP response"):
		return "The server speaks TLS, or is no collection agent: write -server https://…"
	case errors.Is(err, syscall.ECONNREFUSED) && away.Server == defaultServer:
		return "Start a server with: collectionagent\nor say where it is with -server URL or STROBE_URL."
	}
	return "Say where the server is with -server URL or STROBE_URL."
}

func explainRefused(e *client.Error) string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "The server needs a token: put it into a file and name that with -token-file FILE or STROBE_TOKEN_FILE."
	case http.StatusForbidden:
		return "The token is not good for that: see docs/security.md for the roles, and -project for another project."
	case http.StatusTooManyRequests:
		return "Wait a little, and try again."
	case http.StatusNotFound:
		return "Is the URL right? The path of a proxy belongs to it: -server https://HOST/strobe"
	case http.StatusBadRequest:
		return caret(e)
	}
	return ""
}

// caret points at the mistake in a value.
func caret(e *client.Error) string {
	value := strings.NewReplacer("\n", " ", "\t", " ").Replace(e.Value)
	if value == "" || e.Position < 0 || e.Position > len(value) || !utf8.ValidString(value) || len(value) > 1000 {
		return ""
	}
	for e.Position > 0 && e.Position < len(value) && !utf8.RuneStart(value[e.Position]) {
		e.Position--
	}
	flag := "-" + strings.ReplaceAll(e.Parameter, "_", "-")
	if e.Position == 0 && !slices.Contains([]string{"query", "frames", "function", "hide"}, e.Parameter) {
		return fmt.Sprintf("  %s %s", flag, value)
	}
	before := "  " + flag + " "
	return before + term.Clean(value) + "\n" + strings.Repeat(" ", term.Width(before)+term.Width(value[:e.Position])) + "^"
}

// nothingFound says why there may be no samples: a label that does not exist, a value
// that it does not have, or a range without any.
func (q *question) nothingFound() string { return term.Clean(q.whyNothing()) }

func (q *question) whyNothing() string {
	ctx, cancel := context.WithTimeout(q.in.ctx, 3*time.Second)
	defer cancel()
	base := url.Values{}
	for _, name := range []string{"type", "from", "to"} {
		if v := q.values.Get(name); v != "" {
			base.Set(name, v)
		}
	}
	span := "from " + cmp.Or(base.Get("from"), "now-15m") + " to " + cmp.Or(base.Get("to"), "now")
	var labels client.Labels
	if _, err := q.client.JSON(ctx, "labels", base, &labels); err != nil {
		return "No samples " + span + "."
	}
	if len(labels.Labels) == 0 {
		var types client.Types
		base.Del("type")
		if _, err := q.client.JSON(ctx, "types", base, &types); err == nil && len(types.Types) > 0 {
			names := make([]string, len(types.Types))
			for i, t := range types.Types {
				names[i] = t.Type
			}
			return fmt.Sprintf("No samples of the type %s %s. There are samples of %s (-type).",
				cmp.Or(q.values.Get("type"), "on_cpu"), span, strings.Join(names, ", "))
		}
		return "No samples " + span + ". Look further back with -from 1d; strobectl hosts shows whether agents send."
	}
	names := make([]string, len(labels.Labels))
	for i, l := range labels.Labels {
		names[i] = l.Name
	}
	for _, m := range matchers(q.values.Get("query")) {
		if !slices.Contains(names, m.name) {
			text := fmt.Sprintf("No samples: none has the label %q %s.", m.name, span)
			if like := nearest.Name(m.name, names); like != "" {
				text += fmt.Sprintf(" Did you mean %s?", like)
			}
			return text
		}
		if m.operator != "=" || m.value == "" {
			continue
		}
		var found client.Values
		if _, err := q.client.JSON(ctx, "labels/"+url.PathEscape(m.name)+"/values", base, &found); err != nil {
			continue
		}
		values := make([]string, len(found.Values))
		for i, v := range found.Values {
			values[i] = v.Value
		}
		if !slices.Contains(values, m.value) && found.Hidden == 0 {
			text := fmt.Sprintf("No samples: %s is never %q %s.", m.name, m.value, span)
			if like := nearest.Name(m.value, values); like != "" {
				text += fmt.Sprintf(" Did you mean %s=%s?", m.name, like)
			} else if len(values) > 0 {
				text += fmt.Sprintf(" It is %s; strobectl labels %s lists them.", strings.Join(values[:min(len(values), 5)], ", "), m.name)
			}
			return text
		}
	}
	return "No samples of this selection " + span + "."
}

// condition is one of a selector.
type condition struct{ name, operator, value string }

// matchers reads the conditions of a selector that the server took, as far as they are
// simple.
func matchers(query string) (list []condition) {
	inner := strings.Trim(strings.TrimSpace(query), "{}")
	for inner != "" {
		i := strings.IndexAny(inner, "=!")
		if i <= 0 || i+1 >= len(inner) {
			return list
		}
		c := condition{name: strings.Trim(strings.TrimSpace(inner[:i]), "\"'`")}
		n := 1
		if inner[i:i+2] != "="+inner[i+1:i+2] || inner[i+1] == '~' {
			n = 2
		}
		c.operator = inner[i : i+n]
		rest := strings.TrimSpace(inner[i+n:])
		if rest == "" {
			return list
		}
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 || strings.Contains(rest[1:end+1], `\`) {
			return list
		}
		c.value = rest[1 : end+1]
		list = append(list, c)
		inner = strings.TrimLeft(rest[end+2:], " ,\t\n")
	}
	return list
}

// cleanLines is term.Clean for text of several lines: errors quote what servers say.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = term.Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// hint prints what an error is, and what to do about it.
func hint(path string, err error) string {
	text := fmt.Sprintf("%s: %s\n", path, cleanLines(strings.TrimSuffix(err.Error(), "\n")))
	if errors.Is(err, os.ErrPermission) && strings.HasSuffix(path, "record") && os.Geteuid() != 0 {
		text += "Recording needs root: run it with sudo.\n"
	}
	if more := explain(err); more != "" {
		text += more + "\n"
	}
	return text
}

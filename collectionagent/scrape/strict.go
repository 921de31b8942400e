// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Bounds of a file, whose anchors may repeat what is in it.
const (
	maxNodes  = 1 << 20
	maxErrors = 20
)

// decoder reads a document of YAML, of which JSON is a part, field by field, and
// collects what is wrong with it.
type decoder struct {
	file  string
	errs  []error
	nodes int // visited
}

// value is a value and where it stands.
type value struct {
	*yaml.Node
	path string
}

// document returns the only document of a file. ok is false for one that is empty, and
// for one that is wrong.
func (d *decoder) document(b []byte) (root value, ok bool) {
	in := yaml.NewDecoder(bytes.NewReader(b))
	var document, more yaml.Node
	if err := in.Decode(&document); errors.Is(err, io.EOF) {
		return value{}, false
	} else if err != nil {
		d.syntax(err)
		return value{}, false
	}
	if err := in.Decode(&more); err == nil {
		d.bad(value{&more, ""}, "more than one YAML document")
		return value{}, false
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return value{}, false
	}
	root = value{document.Content[0], ""}
	return root, !isNull(root.Node)
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

// syntax notes an error of the parser, which shows nothing of the file.
func (d *decoder) syntax(err error) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		d.errs = append(d.errs, fmt.Errorf("%s:%s: %s", d.file, m[1], m[2]))
		return
	}
	d.errs = append(d.errs, fmt.Errorf("%s: %s", d.file, strings.TrimPrefix(err.Error(), "yaml: ")))
}

// bad notes what is wrong with a value.
func (d *decoder) bad(v value, format string, args ...any) {
	if len(d.errs) > maxErrors {
		return
	}
	where := fmt.Sprintf("%s:%d: ", d.file, v.Line)
	if v.path != "" {
		where += v.path + ": "
	}
	d.errs = append(d.errs, fmt.Errorf(where+"%w", fmt.Errorf(format, args...)))
}

// err returns all that was wrong.
func (d *decoder) err() error {
	if len(d.errs) > maxErrors {
		return errors.Join(append(slices.Clip(d.errs[:maxErrors]), fmt.Errorf("%s: and more", d.file))...)
	}
	return errors.Join(d.errs...)
}

// plainName is what a field may be called in an error: "user:password" without a
// space is a name, too.
var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,60}$`)

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// visit reports whether the file has not too many values.
func (d *decoder) visit(v value) bool {
	if d.nodes++; d.nodes == maxNodes {
		d.bad(v, "the file has more than %d values", maxNodes)
	}
	return d.nodes < maxNodes
}

// resolve follows an alias. ok is false for a value that is not there.
func (d *decoder) resolve(v value) (value, bool) {
	if v.Kind == yaml.AliasNode {
		v.Node = v.Alias
	}
	return v, v.Node != nil && !isNull(v.Node)
}

// fields calls the function of each field that a mapping has.
func (d *decoder) fields(v value, known map[string]func(value)) {
	seen := map[string]bool{}
	d.mapping(v, func(key, field value) {
		read := known[key.Value]
		switch {
		case read == nil && key.Value == "<<":
			d.bad(key, "merge keys are not supported")
		case read == nil && !plainName.MatchString(key.Value):
			d.bad(v, "unknown field, which is not shown; known are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case read == nil:
			d.bad(key, "unknown field, known are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[key.Value]:
			d.bad(key, "is there twice")
		default:
			seen[key.Value] = true
			if field, ok := d.resolve(field); ok {
				read(field)
			}
		}
	})
}

// mapping calls a function for each key of a mapping and its value, which is not
// resolved.
func (d *decoder) mapping(v value, each func(key, field value)) {
	if v.Kind != yaml.MappingNode {
		d.bad(v, "expected fields, name: value")
		return
	}
	for i := 0; i+1 < len(v.Content) && d.visit(v); i += 2 {
		key, field := v.Content[i], v.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.bad(value{key, v.path}, "the name of a field must be a text")
			continue
		}
		path := printable(key.Value)
		if v.path != "" {
			path = v.path + "." + path
		}
		each(value{key, path}, value{field, path})
	}
}

// printable shortens and quotes what is odd as a name.
func printable(name string) string {
	const most = 100
	if len(name) > most || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return strconv.QuoteToASCII(name[:min(len(name), most)])
	}
	return name
}

// list calls a function for each element of a list.
func (d *decoder) list(v value, each func(value)) {
	if v.Kind != yaml.SequenceNode {
		d.bad(v, "expected a list")
		return
	}
	for i, n := range v.Content {
		if !d.visit(v) {
			return
		}
		element, ok := d.resolve(value{n, v.path + "[" + strconv.Itoa(i) + "]"})
		if !ok {
			d.bad(element, "is empty")
			continue
		}
		each(element)
	}
}

// scalar returns a single value as it is written.
func (d *decoder) scalar(v value) (string, bool) {
	if v.Kind != yaml.ScalarNode {
		d.bad(v, "expected a single value")
		return "", false
	}
	return v.Value, true
}

// text reads into a text.
func (d *decoder) text(to *string) func(value) {
	return func(v value) {
		if s, ok := d.scalar(v); ok {
			*to = s
		}
	}
}

// texts reads a list of texts.
func (d *decoder) texts(to *[]string) func(value) {
	return func(v value) {
		d.list(v, func(v value) {
			if s, ok := d.scalar(v); ok {
				*to = append(*to, s)
			}
		})
	}
}

// boolean reads true or false.
func (d *decoder) boolean(to *bool) func(value) {
	return func(v value) {
		if s, ok := d.scalar(v); ok {
			switch {
			case v.Tag == "!!bool" && strings.EqualFold(s, "true"):
				*to = true
			case v.Tag == "!!bool" && strings.EqualFold(s, "false"):
				*to = false
			default:
				d.bad(v, "%.100q is neither true nor false", s)
			}
		}
	}
}

// integer reads a whole number within bounds.
func (d *decoder) integer(to *int, lowest, highest int) func(value) {
	return func(v value) {
		s, ok := d.scalar(v)
		if !ok {
			return
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < lowest || n > highest {
			d.bad(v, "is %.100q, must be a whole number from %d to %d", s, lowest, highest)
			return
		}
		*to = n
	}
}

// duration reads a time such as 15s or 1m30s, within bounds.
func (d *decoder) duration(to *time.Duration, lowest, highest time.Duration) func(value) {
	return func(v value) {
		s, ok := d.scalar(v)
		if !ok {
			return
		}
		t, err := model.ParseDuration(s)
		if err != nil || time.Duration(t) < lowest || time.Duration(t) > highest {
			d.bad(v, "is %.100q, must be a time such as 15s or 1m30s, from %s to %s", s, lowest, highest)
			return
		}
		*to = time.Duration(t)
	}
}

// sizeUnits are those of Prometheus, which are powers of two, and their full names.
var sizeUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"B", 1}}

// size reads a number of bytes with a unit. 0 needs none, and stands for no limit of
// its own.
func (d *decoder) size(to *int64) func(value) {
	return func(v value) {
		s, ok := d.scalar(v)
		if !ok {
			return
		}
		if s == "0" {
			*to = 0
			return
		}
		for _, u := range sizeUnits {
			number, ok := strings.CutSuffix(s, u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			if err != nil || n < 0 || n > (1<<40)/u.factor {
				break
			}
			*to = n * u.factor
			return
		}
		d.bad(v, "%.100q is not a size such as 4MB", s)
	}
}

// oneOf reads one of a few words.
func (d *decoder) oneOf(to *string, words ...string) func(value) {
	return func(v value) {
		s, ok := d.scalar(v)
		if !ok {
			return
		}
		if !slices.Contains(words, s) {
			d.bad(v, "is %.100q, must be %s", s, strings.Join(words, " or "))
			return
		}
		*to = s
	}
}

// SPDX-License-Identifier: Apache-2.0

package otlpcheck

import (
	"encoding/hex"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/strobe-profiler/strobe/proto/otlpkey"
)

// htlHashDigits are those of 16 bytes.
const htlHashDigits = 32

// frameTypes are the values of profile.frame.type.
var frameTypes = map[string]bool{
	"beam": true, "cpython": true, "dotnet": true, "go": true, "jvm": true, "kernel": true, "luajit": true, "native": true,
	"perl": true, "php": true, "ruby": true, "rust": true, "v8js": true,
}

// otherNames are what runtimes are called where the conventions have a name for them. Values
// of one's own are allowed for the others.
var otherNames = map[string]string{
	"python": "cpython", "python3": "cpython", "erlang": "beam", "elixir": "beam", "clr": "dotnet", ".net": "dotnet", "csharp": "dotnet",
	"golang": "go", "java": "jvm", "hotspot": "jvm", "linux": "kernel", "c": "native", "c++": "native", "cpp": "native",
	"javascript": "v8js", "js": "v8js", "node": "v8js", "nodejs": "v8js", "v8": "v8js",
}

// valueKind is what a value holds, in the words of the conventions.
type valueKind string

const (
	isText    valueKind = "a string"
	isInt     valueKind = "an int"
	isBool    valueKind = "a boolean"
	isList    valueKind = "a list"
	isNothing valueKind = "nothing"
	isOther   valueKind = "something else"
)

// kinds are the types of attributes that profiles have, by the conventions.
var kinds = map[string]valueKind{
	otlpkey.BuildIDGNU: isText, otlpkey.BuildIDGo: isText, otlpkey.BuildIDHTLHash: isText, otlpkey.FrameType: isText,
	"service.name": isText, "service.version": isText, "service.namespace": isText, "service.instance.id": isText,
	"host.name": isText, "host.id": isText, "host.arch": isText, "os.type": isText, "container.id": isText, "container.name": isText,
	"k8s.pod.name": isText, "k8s.namespace.name": isText, "k8s.container.name": isText, "k8s.node.name": isText,
	"process.pid": isInt, "process.parent_pid": isInt, "process.executable.name": isText, "process.executable.path": isText,
	"process.command_line": isText, "thread.id": isInt, "thread.name": isText, "cpu.logical_number": isInt,
	"pprof.location.is_folded": isBool, "pprof.mapping.has_functions": isBool, "pprof.mapping.has_filenames": isBool,
	"pprof.mapping.has_line_numbers": isBool, "pprof.mapping.has_inline_frames": isBool, "pprof.profile.comment": isList,
	"pprof.profile.doc_url": isText, "pprof.profile.drop_frames": isText, "pprof.profile.keep_frames": isText,
	"pprof.scope.default_sample_type": isText, "pprof.scope.sample_type_order": isList,
}

func kindOf(v *common.AnyValue) valueKind {
	switch v.GetValue().(type) {
	case nil:
		return isNothing
	case *common.AnyValue_StringValue, *common.AnyValue_StringValueStrindex:
		return isText
	case *common.AnyValue_IntValue:
		return isInt
	case *common.AnyValue_BoolValue:
		return isBool
	case *common.AnyValue_ArrayValue:
		return isList
	}
	return isOther
}

// attributeEntry checks an entry of the attribute table.
func (c *checker) attributeEntry(a *profiles.KeyValueAndUnit) {
	c.refText(a.GetKeyStrindex(), "key_strindex")
	c.refText(a.GetUnitStrindex(), "unit_strindex")
	key := c.textOf(a.GetKeyStrindex())
	if key == "" {
		c.find(ruleAttributeKey, "key_strindex", "refers to no key")
	}
	c.unit(a.GetUnitStrindex(), "unit_strindex")
	c.value(a.GetValue(), 0)
	c.convention(key, a.GetValue())
}

// maxKnown is longer than any text that the conventions know. What is longer is not looked
// at: much may refer to one text.
const maxKnown = 256

// convention checks a value by what the conventions say of its key.
func (c *checker) convention(key string, v *common.AnyValue) {
	if len(key) > maxKnown {
		return
	}
	want, ok := kinds[key]
	if !ok {
		return
	}
	if got := kindOf(v); got != want {
		c.find(ruleAttributeType, "value", "of %s is %s, should be %s", key, got, want)
		return
	}
	text := v.GetStringValue()
	if s, ok := v.GetValue().(*common.AnyValue_StringValueStrindex); ok {
		text = c.textOf(s.StringValueStrindex)
	}
	switch key {
	case otlpkey.FrameType:
		if len(text) > maxKnown {
			return
		}
		name := strings.ToLower(text)
		if !frameTypes[name] {
			name = otherNames[name]
		}
		if text == "" {
			c.find(ruleFrameType, "value", "is empty")
		} else if name != "" && name != text {
			c.find(ruleFrameType, "value", "%.100q is called %q by the conventions", text, name)
		}
	case otlpkey.BuildIDGNU:
		if !isHex(text) {
			c.find(ruleBuildIDForm, "value", "%.100q is no GNU build ID: not hexadecimal", text)
		}
	case otlpkey.BuildIDGo:
		if text == "" {
			c.find(ruleBuildIDForm, "value", "is empty, a Go build ID is not")
		}
	case otlpkey.BuildIDHTLHash:
		if len(text) != htlHashDigits || !isHex(text) {
			c.find(ruleBuildIDForm, "value", "%.100q is no htlhash: not 32 hexadecimal digits", text)
		}
	}
}

func isHex(s string) bool {
	if s == "" || len(s) > maxKnown {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

// isBuildID reports whether an attribute is a build ID.
func (c *checker) isBuildID(i int32) bool {
	table := c.d.GetAttributeTable()
	if i < 0 || int(i) >= len(table) {
		return false
	}
	switch c.textOf(table[i].GetKeyStrindex()) {
	case otlpkey.BuildIDGNU, otlpkey.BuildIDGo, otlpkey.BuildIDHTLHash:
		return true
	}
	return false
}

// attributeList checks references to attributes: that they are there, and that their
// keys differ.
func (c *checker) attributeList(list []int32) {
	const field = "attribute_indices"
	c.referAll(attributes, list, field)
	if len(list) < 2 {
		return
	}
	c.lists++
	table := c.d.GetAttributeTable()
	for j, i := range list {
		if i <= 0 || int(i) >= len(table) {
			continue
		}
		key := table[i].GetKeyStrindex()
		if key < 0 || int(key) >= len(c.sameText) {
			continue
		}
		key = c.sameText[key]
		if first := c.keyAt[key]; first.list == c.lists {
			c.findAt(ruleAttributeDuplicate, step{field, j}, "has the key %.100q of attribute_indices[%d]", c.textOf(key), first.index)
		} else {
			c.keyAt[key] = keyPlace{c.lists, j}
		}
	}
}

// keyValues checks attributes that are not in the dictionary.
func (c *checker) keyValues(field string, list []*common.KeyValue, depth int) {
	type keyID struct {
		index int32 // of the text, if it is in the table
		text  string
	}
	keys := make(map[keyID]int, len(list))
	for i, kv := range list {
		c.at(field, i)
		c.known(kv)
		key := kv.GetKey()
		c.text("key", key)
		if index := kv.GetKeyStrindex(); index != 0 {
			if key != "" {
				c.find(ruleKeyAndIndex, "", "has both key, %.100q, and key_strindex, %d", key, index)
			}
			c.refText(index, "key_strindex")
		}
		id := keyID{c.firstText[key], ""}
		if id.index == 0 {
			id.text = key
		}
		if index := kv.GetKeyStrindex(); key == "" && index > 0 && int(index) < len(c.sameText) {
			key, id = c.textOf(index), keyID{c.sameText[index], ""}
		}
		if key == "" {
			c.find(ruleAttributeKey, "", "has no key")
		} else if first, ok := keys[id]; ok {
			c.find(ruleAttributeDuplicate, "", "has the key %.100q of %s[%d]", key, field, first)
		} else {
			keys[id] = i
		}
		c.value(kv.GetValue(), depth)
		c.convention(key, kv.GetValue())
		c.leave()
	}
}

// maxDepth is how deep values may nest. Readers refuse what is deeper.
const maxDepth = 16

// value checks the value of an attribute, in the field "value" of where the checker is.
func (c *checker) value(v *common.AnyValue, depth int) {
	if v == nil {
		return
	}
	c.enter("value")
	c.contents(v, depth)
	c.leave()
}

func (c *checker) contents(v *common.AnyValue, depth int) {
	if depth > maxDepth {
		c.find(ruleNesting, "", "nests deeper than %d", maxDepth)
		return
	}
	c.known(v)
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		c.text("string_value", v.StringValue)
	case *common.AnyValue_StringValueStrindex:
		c.refText(v.StringValueStrindex, "string_value_strindex")
	case *common.AnyValue_ArrayValue:
		c.enter("array_value")
		c.known(v.ArrayValue)
		for i, e := range v.ArrayValue.GetValues() {
			c.at("values", i)
			c.contents(e, depth+1)
			c.leave()
		}
		c.leave()
	case *common.AnyValue_KvlistValue:
		c.enter("kvlist_value")
		c.known(v.KvlistValue)
		c.keyValues("values", v.KvlistValue.GetValues(), depth+1)
		c.leave()
	}
}

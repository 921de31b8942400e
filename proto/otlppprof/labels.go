// SPDX-License-Identifier: Apache-2.0

package otlppprof

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/google/pprof/profile"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Keys of a number in a list whose unit is not that of the attribute.
const (
	keyValue = "value"
	keyUnit  = "unit"
)

func textValue(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: clean(s)}}
}

func intValue(n int64) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}
}

func listValue(values []*common.AnyValue) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: values}}}
}

// quantity is a number with a unit that its attribute does not say.
func quantity(n int64, unit string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: []*common.KeyValue{
		{Key: keyValue, Value: intValue(n)}, {Key: keyUnit, Value: textValue(unit)},
	}}}}
}

// isQuantity takes apart what quantity made.
func isQuantity(v *common.AnyValue) (n int64, unit string, ok bool) {
	list := v.GetKvlistValue().GetValues()
	if len(list) != 2 || list[0].GetKey() != keyValue || list[1].GetKey() != keyUnit {
		return 0, "", false
	}
	_, isInt := list[0].GetValue().GetValue().(*common.AnyValue_IntValue)
	_, isText := list[1].GetValue().GetValue().(*common.AnyValue_StringValue)
	return list[0].GetValue().GetIntValue(), list[1].GetValue().GetStringValue(), isInt && isText
}

// label is what a sample says under one key. Each number has a unit, which may be empty.
type label struct {
	key     string
	texts   []string
	numbers []int64
	units   []string
}

// bytes is about how much memory it takes to write the label once more.
func (l *label) bytes() int { return labelBytes + len(l.key) + textBytes(l.texts) + textBytes(l.units) }

func textBytes(texts []string) (n int) {
	const headerBytes = 16
	for _, t := range texts {
		n += headerBytes + len(t)
	}
	return n
}

// add adds what pprof says under a key.
func (l *label) add(texts []string, numbers []int64, units []string) {
	l.texts = append(l.texts, texts...)
	for i, n := range numbers {
		unit := ""
		if i < len(units) {
			unit = units[i]
		}
		l.numbers, l.units = append(l.numbers, n), append(l.units, unit)
	}
}

// labelsOf returns the labels of a sample by key. Keys that are the same once they
// are valid are one.
func labelsOf(s *profile.Sample) []label {
	if len(s.Label)+len(s.NumLabel) == 0 {
		return nil
	}
	keys := make([]string, 0, len(s.Label)+len(s.NumLabel))
	for k := range s.Label {
		keys = append(keys, k)
	}
	for k := range s.NumLabel {
		if _, ok := s.Label[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(clean(a), clean(b)), cmp.Compare(a, b)) })
	out := make([]label, 0, len(keys))
	for _, k := range keys {
		valid := clean(k)
		if valid == "" {
			continue
		}
		if len(out) == 0 || out[len(out)-1].key != valid {
			out = append(out, label{key: valid})
		}
		out[len(out)-1].add(s.Label[k], s.NumLabel[k], s.NumUnit[k])
	}
	return out
}

// labels returns the attributes of a sample, in the order of their keys.
func (d *dictionary) labels(s *profile.Sample) []int32 {
	var out []int32
	for _, l := range labelsOf(s) {
		one, single := l.single()
		i, ok := d.singles[one]
		if !ok || !single {
			value, unit := l.value()
			if value == nil {
				continue
			}
			i = d.attribute(l.key, value, unit)
			if single {
				d.singles[one] = i
			}
		}
		out = append(out, i)
	}
	return out
}

// single is a label with one value, as nearly all are.
type single struct {
	key, text, unit string
	number          int64
	isNumber        bool
}

func (l *label) single() (s single, ok bool) {
	switch {
	case len(l.texts) == 1 && len(l.numbers) == 0:
		return single{key: l.key, text: l.texts[0]}, true
	case len(l.texts) == 0 && len(l.numbers) == 1:
		return single{key: l.key, number: l.numbers[0], unit: l.units[0], isNumber: true}, true
	}
	return single{}, false
}

// value returns a label as the value of an attribute, with its unit; nil when there is none.
func (l *label) value() (value *common.AnyValue, unit string) {
	var list []*common.AnyValue
	for _, t := range l.texts {
		list = append(list, textValue(t))
	}
	for i, n := range l.numbers {
		if i == 0 {
			unit = l.units[i]
		}
		if l.units[i] == unit {
			list = append(list, intValue(n))
		} else {
			list = append(list, quantity(n, l.units[i]))
		}
	}
	switch len(list) {
	case 0:
		return nil, ""
	case 1:
		return list[0], unit
	default:
		return listValue(list), unit
	}
}

// read adds the value of an attribute. What pprof has no form for becomes text.
func (l *label) read(v *common.AnyValue, unit string, d *reader) {
	if list, ok := v.GetValue().(*common.AnyValue_ArrayValue); ok {
		for _, e := range list.ArrayValue.GetValues() {
			l.element(e, unit, d)
		}
		return
	}
	l.element(v, unit, d)
}

func (l *label) element(v *common.AnyValue, unit string, d *reader) {
	if n, ok := v.GetValue().(*common.AnyValue_IntValue); ok {
		l.add(nil, []int64{n.IntValue}, []string{unit})
	} else if n, unit, ok := isQuantity(v); ok {
		l.add(nil, []int64{n}, []string{unit})
	} else {
		l.texts = append(l.texts, d.valueText(v))
	}
}

// valueText returns a value as text.
func (r *reader) valueText(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case nil:
		return ""
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_StringValueStrindex:
		return r.strings[v.StringValueStrindex] // checked
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *common.AnyValue_BytesValue:
		return hex.EncodeToString(v.BytesValue)
	}
	// Lists and maps in lists and maps: no client has them, so their references to
	// texts, which could grow a small request without bound, stay as they are.
	b, err := protojson.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// addTo adds a label to a sample, unless its key is there. Samples share the lists
// of values.
func (l *label) addTo(s *profile.Sample) {
	if l.key == "" || len(s.Label[l.key])+len(s.NumLabel[l.key]) > 0 {
		return
	}
	if len(l.texts) > 0 {
		if s.Label == nil {
			s.Label = map[string][]string{}
		}
		s.Label[l.key] = slices.Clip(l.texts)
	}
	if len(l.numbers) > 0 {
		if s.NumLabel == nil {
			s.NumLabel, s.NumUnit = map[string][]int64{}, map[string][]string{}
		}
		s.NumLabel[l.key], s.NumUnit[l.key] = slices.Clip(l.numbers), slices.Clip(l.units)
	}
}

// text returns the first text of a label.
func (l *label) text() string {
	if len(l.texts) == 0 {
		return ""
	}
	return l.texts[0]
}

// LabelResource gives the samples of the profile the attributes of the resource as labels,
// except those whose keys they have. Its memory is that of ToPprof.
func (c *Converted) LabelResource() error {
	for _, kv := range c.Resource.GetAttributes() {
		const field = "resource.attributes"
		l := label{key: c.reader.keyOf(kv)}
		if err := c.reader.checkValue(field, kv.GetValue()); err != nil {
			return err
		}
		l.read(kv.GetValue(), "", c.reader)
		for _, s := range c.Profile.Sample {
			if err := c.reader.charge(field, l.bytes()); err != nil {
				return err
			}
			l.addTo(s)
		}
	}
	return nil
}

// keyOf returns the key of an attribute, "" if there is none.
func (r *reader) keyOf(kv *common.KeyValue) string {
	if i := kv.GetKeyStrindex(); kv.GetKey() == "" && i > 0 && int(i) < len(r.strings) {
		return r.strings[i]
	}
	return kv.GetKey()
}

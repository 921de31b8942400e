// SPDX-License-Identifier: Apache-2.0

package config

import (
	stdbytes "bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// readFile sets what the file has and given does not. It reports every problem
// with its line.
func readFile(path string, options map[string]*option, given map[string]bool) error {
	b, err := readLimited(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(stdbytes.NewReader(b))
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty file says nothing
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one YAML document", path)
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want lines of the form name: value", path, root.Line)
	}
	var errs []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name := key.Value
		o, ok := options[name]
		switch {
		case !ok:
			err = fmt.Errorf("unknown setting %q%s", name, suggest(name, slices.Collect(maps.Keys(options))))
		case seen[name]:
			err = fmt.Errorf("%s: set twice", name)
		case given[name]:
			err = nil // the command line or the environment has it
		default:
			err = setNode(o, value)
		}
		seen[name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, key.Line, err))
		}
	}
	return errors.Join(errs...)
}

// setNode sets an option to a value of the file.
func setNode(o *option, n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	set := func(text string) error {
		if err := o.setting.set(text); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		return nil
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return fmt.Errorf("%s: has no value", o.name)
	case n.Kind == yaml.ScalarNode && o.isList:
		if err := o.Set(n.Value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		return nil
	case n.Kind == yaml.ScalarNode:
		return set(n.Value)
	case n.Kind == yaml.SequenceNode && o.isList:
		var errs []error
		for _, element := range n.Content {
			if element.Kind != yaml.ScalarNode {
				return fmt.Errorf("%s: line %d is not a single value", o.name, element.Line)
			}
			errs = append(errs, set(element.Value))
		}
		return errors.Join(errs...)
	case n.Kind == yaml.MappingNode && o.name == "tags":
		var errs []error
		for i := 0; i+1 < len(n.Content); i += 2 {
			errs = append(errs, set(n.Content[i].Value+"="+n.Content[i+1].Value))
		}
		return errors.Join(errs...)
	case o.isList:
		return fmt.Errorf("%s: want a value or a list of values", o.name)
	}
	return fmt.Errorf("%s: want a single value", o.name)
}

// WriteFile writes the settings as a configuration file with comments.
func (c *Config) WriteFile(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, g := range c.groups() {
		for i := range g.options {
			o := &g.options[i]
			key := &yaml.Node{Kind: yaml.ScalarNode, Value: o.name, HeadComment: o.help}
			value := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
			for _, text := range o.values() {
				element := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
				switch text {
				case "", "~", "null", "Null", "NULL": // would come back as no value
					element.Style = yaml.DoubleQuotedStyle
				}
				value.Content = append(value.Content, element)
			}
			if !o.isList {
				value = value.Content[0]
			}
			root.Content = append(root.Content, key, value)
		}
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return e.Close()
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file reads and writes the few fields that are used of k8s.io/cri-api's
// runtime/v1/api.proto. The numbers of fields are those of that file and never change.

// criMessage is what is used of a Container or a PodSandbox.
type criMessage struct {
	id, sandbox string
	// name is that of the container in its pod, or of the pod; uid and namespace are of a pod.
	name, uid, namespace string
	image, userImage     string
	labels               map[string]string
}

var errWire = errors.New("the answer is not a message of CRI v1")

// encodeText writes a field with a text.
func encodeText(field protowire.Number, s string) []byte {
	if s == "" {
		return nil
	}
	return protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), s)
}

// encodeIDFilter writes ListContainersRequest or ListPodSandboxRequest: filter.id.
func encodeIDFilter(id string) []byte {
	if id == "" {
		return nil
	}
	return encodeText(1, string(encodeText(1, id)))
}

// fields calls yield for each field of a message that holds bytes, and skips the others.
func fields(b []byte, yield func(field protowire.Number, value []byte) error) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
				return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
		}
		b = b[n:]
		if err := yield(field, value); err != nil {
			return err
		}
	}
	return nil
}

// text returns the value of a field with a text, "" when there is none.
func text(b []byte, field protowire.Number) (s string, err error) {
	err = fields(b, func(f protowire.Number, value []byte) error {
		if f == field {
			s = string(value)
		}
		return nil
	})
	return s, err
}

// decodeVersion reads VersionResponse.runtime_name.
func decodeVersion(b []byte) (string, error) {
	name, err := text(b, 2)
	if err != nil {
		return "", err
	}
	if name = clean(name, maxValueBytes); name == "" {
		name = "cri"
	}
	return name, nil
}

// decodeContainers reads ListContainersResponse.
func (w *wanted) decodeContainers(b []byte) ([]criMessage, error) {
	return decodeList(b, func(m *criMessage, f protowire.Number, value []byte) (err error) {
		switch f { // Container
		case 1:
			m.id = string(value)
		case 2:
			m.sandbox = string(value)
		case 3:
			m.name, err = text(value, 1)
		case 4:
			m.image, m.userImage, err = decodeImage(value)
		case 8:
			err = m.decodeLabel(value, w, w.container)
		}
		return err
	})
}

// decodeSandboxes reads ListPodSandboxResponse.
func (w *wanted) decodeSandboxes(b []byte) ([]criMessage, error) {
	return decodeList(b, func(m *criMessage, f protowire.Number, value []byte) (err error) {
		switch f { // PodSandbox
		case 1:
			m.id = string(value)
		case 2:
			err = m.decodePod(value)
		case 5:
			err = m.decodeLabel(value, w, w.pod)
		}
		return err
	})
}

// decodeList reads an answer whose field 1 repeats a message.
func decodeList(b []byte, field func(m *criMessage, f protowire.Number, value []byte) error) ([]criMessage, error) {
	var out []criMessage
	err := fields(b, func(f protowire.Number, value []byte) error {
		if f != 1 {
			return nil
		}
		var m criMessage
		err := fields(value, func(f protowire.Number, value []byte) error { return field(&m, f, value) })
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decodePod reads PodSandboxMetadata.
func (m *criMessage) decodePod(b []byte) error {
	return fields(b, func(f protowire.Number, value []byte) error {
		switch f {
		case 1:
			m.name = string(value)
		case 2:
			m.uid = string(value)
		case 3:
			m.namespace = string(value)
		}
		return nil
	})
}

// decodeLabel reads an entry of labels. Only what is wanted is kept, which bounds them: of
// that, none is ever cut.
func (m *criMessage) decodeLabel(b []byte, w *wanted, allowed map[string]bool) error {
	key, err := text(b, 1)
	if err != nil || !w.wants(key, allowed) {
		return err
	}
	value, err := text(b, 2)
	if err != nil {
		return err
	}
	if m.labels == nil {
		m.labels = map[string]string{}
	}
	m.labels[key] = value
	return nil
}

// decodeImage reads ImageSpec.image and .user_specified_image.
func decodeImage(b []byte) (image, user string, err error) {
	if image, err = text(b, 1); err != nil {
		return "", "", err
	}
	user, err = text(b, 18)
	return image, user, err
}

// decodeStatus reads ContainerStatusResponse.status.image.
func decodeStatus(b []byte) (string, error) {
	var image string
	err := fields(b, func(f protowire.Number, value []byte) error {
		if f != 1 {
			return nil
		}
		return fields(value, func(f protowire.Number, value []byte) (err error) {
			if f == 8 {
				image, _, err = decodeImage(value)
			}
			return err
		})
	})
	return image, err
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// cri asks a runtime of Kubernetes, by the Container Runtime Interface v1: containerd,
// CRI-O, cri-dockerd.
type cri struct {
	socket string
	wanted *wanted

	mu      sync.Mutex
	conn    *grpc.ClientConn
	runtime string
}

// maxTogether is how many containers are asked for one by one; for more, everything is.
const maxTogether = 8

const criService = "/runtime.v1.RuntimeService/"

func newCRI(socket string, w *wanted) *cri { return &cri{socket: socket, wanted: w} }

func (c *cri) kind() string  { return kindCRI }
func (c *cri) where() string { return c.socket }

func (c *cri) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost
		c.conn = nil
	}
}

// rawCodec hands messages on as bytes: of the interface's 150 messages six are
// needed, and of those a few fields.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("marshal %T", v)
	}
	return b, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("unmarshal into %T", v)
	}
	*b = append([]byte(nil), data...) // the buffer is used again
	return nil
}

// call calls a method of the runtime service.
func (c *cri) call(ctx context.Context, method string, request []byte) ([]byte, error) {
	conn, err := c.connection(ctx)
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = conn.Invoke(ctx, criService+method, request, &answer)
	switch status.Code(err) {
	case codes.OK:
		return answer, nil
	case codes.Unimplemented:
		// As on hosts of Docker, where the plugin of its containerd is turned off.
		return nil, fmt.Errorf("%w: no CRI v1 there: %w", errUnsupported, err)
	case codes.PermissionDenied, codes.Unauthenticated:
		return nil, fmt.Errorf("%w: %w", errDenied, err)
	case codes.DeadlineExceeded:
		return nil, fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	case codes.ResourceExhausted:
		return nil, fmt.Errorf("%w: %w", errTooLarge, err)
	default:
		return nil, err
	}
}

func (c *cri) connection(ctx context.Context) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	// gRPC turns every error of a connection into the same one; opening it here once
	// tells what is wrong.
	var dialer net.Dialer
	probe, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, err
	}
	_ = probe.Close() // it was only a question
	c.conn, err = grpc.NewClient("passthrough:///localhost",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", c.socket)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(maxListBytes)),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(), grpc.WithUserAgent("strobe-agent"),
	)
	return c.conn, err
}

// look implements source.
func (c *cri) look(ctx context.Context, ids []string, tell func(string, container)) error {
	if c.runtime == "" {
		answer, err := c.call(ctx, "Version", nil)
		if err != nil {
			c.close() // the next attempt says anew what is wrong
			return err
		}
		if c.runtime, err = decodeVersion(answer); err != nil {
			return err
		}
	}
	filters := ids
	if len(ids) > maxTogether {
		filters = []string{""}
	}
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	for _, id := range filters {
		if err := c.lookOne(ctx, id, asked, tell); err != nil {
			c.close()
			return err
		}
	}
	return nil
}

// lookOne asks for one container, or for all if id is empty. What no container has for
// an ID may be the sandbox of a pod, which holds the pod's namespaces.
func (c *cri) lookOne(ctx context.Context, id string, asked map[string]bool, tell func(string, container)) error {
	answer, err := c.call(ctx, "ListContainers", encodeIDFilter(id))
	if err != nil {
		return err
	}
	list, err := c.wanted.decodeContainers(answer)
	if err != nil {
		return err
	}
	sandbox := id // whom to ask for the pods: of all, of one container, or the ID itself
	if len(list) == 1 && id != "" {
		sandbox = list[0].sandbox
	}
	if answer, err = c.call(ctx, "ListPodSandbox", encodeIDFilter(sandbox)); err != nil {
		return err
	}
	sandboxes, err := c.wanted.decodeSandboxes(answer)
	if err != nil {
		return err
	}
	pods := make(map[string]container, len(sandboxes))
	for _, s := range sandboxes {
		if !isID(s.id) {
			continue
		}
		pods[s.id] = c.podOf(&s)
		if asked[s.id] {
			tell(s.id, pods[s.id])
		}
	}
	for i := range list {
		m := &list[i]
		if !isID(m.id) {
			continue
		}
		found := container{runtime: c.runtime, inPod: clean(m.name, maxValueBytes), image: m.image}
		if isHashOnly(m.image) && asked[m.id] {
			found.image = c.imageOf(ctx, m)
		}
		found.image = clean(found.image, maxValueBytes)
		found.addContainerLabels(m.labels, c.wanted)
		if pod, ok := pods[m.sandbox]; ok {
			found = found.merge(&pod)
		}
		tell(m.id, found)
	}
	return nil
}

// podOf returns what a container has from its pod.
func (c *cri) podOf(s *criMessage) container {
	pod := container{
		runtime: c.runtime, pod: clean(s.name, maxValueBytes),
		podUID: clean(s.uid, maxValueBytes), namespace: clean(s.namespace, maxValueBytes),
	}
	pod.addPodLabels(s.labels, c.wanted)
	return pod
}

// imageOf finds the name of an image that the list names by its hash. A runtime that
// cannot say it leaves the container without the name of its image.
func (c *cri) imageOf(ctx context.Context, m *criMessage) string {
	if m.userImage != "" {
		return m.userImage
	}
	answer, err := c.call(ctx, "ContainerStatus", encodeText(1, m.id))
	if err != nil {
		return m.image
	}
	image, err := decodeStatus(answer)
	if err != nil || image == "" {
		return m.image
	}
	return image
}

// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// docker asks a Docker Engine, or what has its API: Podman.
type docker struct {
	socket string
	client *http.Client
	wanted *wanted
	// podman says that it is Podman, which may answer at Docker's path, too.
	podman atomic.Bool
}

// Limits of answers, in bytes. A container takes 1 to 4 KiB in a list, with labels.
const (
	maxListBytes  = 16 << 20
	maxEventBytes = 256 << 10
)

func newDocker(socket string, w *wanted) *docker {
	d := &docker{socket: socket, wanted: w}
	var dialer net.Dialer
	d.client = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			IdleConnTimeout:        lookTimeout * 6,
		},
		// No engine redirects; whoever does is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errUnsupported },
	}
	return d
}

func (d *docker) kind() string  { return kindDocker }
func (d *docker) where() string { return d.socket }
func (d *docker) close()        { d.client.CloseIdleConnections() }

// get asks with a GET, the only method that this package uses. A path without a version
// means the newest that the engine has; what is read here was in the first.
func (d *docker) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "localhost", Path: path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	return nil, statusError(answer)
}

// statusError explains an answer that is none.
func statusError(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 256)) // best effort
	err := fmt.Errorf("answers %s: %s", answer.Status, clean(string(text), 200))
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w", errDenied, err)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return err
}

// look implements source. With a filter of IDs the engine answers for all of them at once,
// whether they run, are paused or ended just now.
func (d *docker) look(ctx context.Context, ids []string, tell func(string, container)) error {
	filter, err := json.Marshal(map[string][]string{"id": ids})
	if err != nil {
		return err
	}
	answer, err := d.get(ctx, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filter)}})
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	d.podman.Store(strings.HasPrefix(answer.Header.Get("Server"), "Libpod/"))
	return d.read(answer.Body, tell)
}

// dockerContainer is what is used of an element of the list.
type dockerContainer struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	Labels map[string]string
}

// read reads a list of containers.
func (d *docker) read(r io.Reader, tell func(string, container)) error {
	limited := &io.LimitedReader{R: r, N: maxListBytes}
	err := eachElement(json.NewDecoder(limited), func(decode func(any) error) error {
		var c dockerContainer
		if err := decode(&c); err != nil {
			return err
		}
		if isID(c.ID) {
			tell(c.ID, d.container(&c))
		}
		return nil
	})
	if err != nil && limited.N <= 0 {
		return errTooLarge
	}
	return err
}

// eachElement reads an array of JSON, one element at a time, so that a long list takes
// the memory of its longest element only.
func eachElement(d *json.Decoder, element func(decode func(any) error) error) error {
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("read the list: %w", err)
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%w: found %v in place of a list", errUnsupported, t)
	}
	for d.More() {
		if err := element(d.Decode); err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
	}
	_, err = d.Token()
	return err
}

func (d *docker) container(from *dockerContainer) container {
	runtime := "docker"
	if d.podman.Load() {
		runtime = "podman"
	}
	c := container{runtime: runtime, image: clean(from.Image, maxValueBytes), name: dockerName(from.Names)}
	c.addContainerLabels(from.Labels, d.wanted)
	return c
}

// dockerName picks the own name of a container: those of links to it hold a second slash.
func dockerName(names []string) string {
	for _, name := range names {
		name = strings.TrimPrefix(name, "/")
		if name != "" && !strings.Contains(name, "/") {
			return clean(name, maxValueBytes)
		}
	}
	return ""
}

// dockerEvent is what is used of an event. An old Podman has ID in place of Actor.
type dockerEvent struct {
	Type, Action string
	Actor        struct{ ID string }
	ID           string
}

// follow implements follower: what starts is asked for before its first sample, and what
// is renamed is asked for again.
func (d *docker) follow(ctx context.Context, changed func(string)) error {
	if d.podman.Load() {
		<-ctx.Done() // a stream would keep the service of Podman running that systemd started for a question
		return ctx.Err()
	}
	filter := `{"type":["container"],"event":["start","rename"]}`
	answer, err := d.get(ctx, "/events", url.Values{"filters": {filter}})
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	return readEvents(answer.Body, changed)
}

// readEvents reads a stream of events until it ends.
func readEvents(r io.Reader, changed func(string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventBytes)
	for lines.Scan() {
		var e dockerEvent
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		id := e.Actor.ID
		if id == "" {
			id = e.ID
		}
		if isID(id) {
			changed(id)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	return errors.New("the stream of events ended")
}

// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/strobe-profiler/strobe/internal/settings"
)

const (
	askTimeout = 5 * time.Second
	// maxReport bounds an answer in bytes, in case something else answers.
	maxReport = 1 << 20
)

// ErrNotRunning is returned by Ask when nothing listens at the address.
var ErrNotRunning = errors.New("no agent runs here, or it has another -http-address")

// Ask asks the agent whose pages are at an address, host:port.
func Ask(ctx context.Context, address string) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	address = settings.Dialable(address)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	// No proxy, whatever the environment says: the agent is on this host.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing listens at %s: %w", address, ErrNotRunning)
	case err != nil:
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(response.Body, maxReport))
	if err != nil {
		return nil, fmt.Errorf("ask the agent at %s: %w", address, err)
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil || response.StatusCode != http.StatusOK || r.State == "" || r.HostID == "" {
		return nil, fmt.Errorf("what answers at %s is not an agent (HTTP status %d)", address, response.StatusCode)
	}
	return r, nil
}

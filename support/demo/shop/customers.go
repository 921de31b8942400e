// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// customers come one by one at random (a Poisson process), more at some times than at others, and
// do not wait for each other, as customers do not.
type customers struct {
	gateway string
	rate    float64 // per second, on average
	client  *http.Client

	mu     sync.Mutex
	took   map[string][]time.Duration // since the last report, by endpoint
	failed map[string]int
	last   error
}

const (
	tide        = 5 * time.Minute // from one busy hour to the next
	reportEvery = 30 * time.Second
	inFlight    = 64 // more would only queue
)

func newCustomers(getenv func(string) string) *customers {
	c := &customers{
		gateway: "http://gateway:8080", rate: 12, client: &http.Client{Timeout: 20 * time.Second},
		took: map[string][]time.Duration{}, failed: map[string]int{},
	}
	if a := getenv("SHOP_GATEWAY"); a != "" {
		c.gateway = strings.TrimRight(a, "/")
	}
	if v, err := strconv.ParseFloat(getenv("SHOP_RATE"), 64); err == nil && v > 0 {
		c.rate = v
	}
	return c
}

func (c *customers) run(ctx context.Context) error {
	report := time.NewTicker(reportEvery)
	defer report.Stop()
	started := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	slots := make(chan struct{}, inFlight)
	var visits sync.WaitGroup
	defer visits.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-report.C:
			c.report()
		case <-next.C:
			now := c.rate * (1 + 0.5*math.Sin(2*math.Pi*time.Since(started).Seconds()/tide.Seconds()))
			next.Reset(time.Duration(rand.ExpFloat64() / now * float64(time.Second))) //nolint:gosec // no secret
			select {
			case slots <- struct{}{}:
				visits.Go(func() {
					defer func() { <-slots }()
					c.visit(ctx)
				})
			default:
				c.count("turned away", 0, fmt.Errorf("%d are being served", inFlight))
			}
		}
	}
}

// visit is one request: most look, some search, few buy.
func (c *customers) visit(ctx context.Context) {
	//nolint:gosec // no secret
	switch p := rand.Float64(); {
	case p < 0.35:
		sort := []string{"price", "name"}[rand.IntN(2)]
		c.request(ctx, "/tags", fmt.Sprintf("/tags/%s?sort=%s&page=%d", uses[rand.IntN(len(uses))], sort, rand.IntN(5)), nil)
	case p < 0.75:
		c.request(ctx, "/products", "/products/"+strconv.Itoa(rand.IntN(20_000)), nil)
	case p < 0.90:
		text := misspell(adjectives[rand.IntN(len(adjectives))] + " " + nouns[rand.IntN(len(nouns))] + " for the " + uses[rand.IntN(len(uses))])
		c.request(ctx, "/search", "/search?q="+url.QueryEscape(text), nil)
	default:
		type item struct {
			Name  string `json:"name"`
			Cents int    `json:"cents"`
			Count int    `json:"count"`
		}
		items := make([]item, 1+rand.IntN(30))
		for i := range items {
			items[i] = item{nouns[rand.IntN(len(nouns))], 100 + rand.IntN(9900), 1 + rand.IntN(4)}
		}
		basket, _ := json.Marshal(items) // of strings and numbers
		c.request(ctx, "/checkout", "/checkout", basket)
	}
}

// misspell replaces two letters.
func misspell(text string) string {
	b := []byte(text)
	for range 2 {
		b[rand.IntN(len(b))] = byte('a' + rand.IntN(26)) //nolint:gosec // no secret
	}
	return string(b)
}

func (c *customers) request(ctx context.Context, endpoint, path string, body []byte) {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	started := time.Now()
	err := func() error {
		req, err := http.NewRequestWithContext(ctx, method, c.gateway+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := c.client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		answer, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer[:min(len(answer), 200)]))
		}
		return err
	}()
	if ctx.Err() == nil {
		c.count(endpoint, time.Since(started), err)
	}
}

func (c *customers) count(endpoint string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed[endpoint]++
		c.last = err
		return
	}
	c.took[endpoint] = append(c.took[endpoint], took)
}

// report logs how long customers waited, by endpoint: what a dashboard would show first.
func (c *customers) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	for endpoint, took := range c.took {
		slices.Sort(took)
		log.Info("served", "endpoint", endpoint, "requests", len(took),
			"p50", took[len(took)/2].Round(time.Millisecond/10), "p99", took[len(took)*99/100].Round(time.Millisecond/10))
	}
	for endpoint, n := range c.failed {
		log.Warn("failed", "endpoint", endpoint, "requests", n, "last", c.last)
	}
	clear(c.took)
	clear(c.failed)
}

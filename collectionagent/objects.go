// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"

	"github.com/strobe-profiler/strobe/collectionagent/store/objects"
)

// Objects says where blocks are kept when not on the local disk.
type Objects struct {
	Location    string // URL without credentials, "": on the disk
	Credentials string // file
	CacheBytes  Bytes
}

// register adds the flags.
func (o *Objects) register(fs *flag.FlagSet) {
	fs.StringVar(&o.Location, "object-store", o.Location, "`URL` of the place for merged blocks: s3://bucket/prefix?endpoint=https://host:port&region=name, or file:///directory; the disk then has the log, new blocks and a cache. Credentials are in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a file")
	fs.StringVar(&o.Credentials, "object-credentials", o.Credentials, "`file` with the credentials for -object-store, in the form of the AWS tools")
	fs.TextVar(&o.CacheBytes, "object-cache-bytes", o.CacheBytes, "disk space for parts of blocks from -object-store; a `size`")
}

// validateObjects reports what is wrong with the settings of object storage.
func (c *Config) validateObjects(bad func(name, format string, args ...any)) {
	o := &c.Objects
	if o.Location == "" {
		if o.Credentials != "" {
			bad("object-credentials", "is given without -object-store")
		}
		return
	}
	if c.Store == storeClickHouse {
		bad("object-store", "is for -store embedded: ClickHouse has storage policies of its own")
	}
	if _, err := objects.ParseLocation(o.Location); err != nil {
		bad("object-store", "%w", err)
	}
	if o.CacheBytes < 1<<20 {
		bad("object-cache-bytes", "is %s, must be at least 1MiB", o.CacheBytes)
	}
}

// open returns the bucket, nil when there is none.
func (o *Objects) open() (objects.Bucket, error) {
	if o.Location == "" {
		return nil, nil //nolint:nilnil // none is a choice
	}
	l, err := objects.ParseLocation(o.Location)
	if err != nil {
		return nil, fmt.Errorf("-object-store: %w", err)
	}
	b, err := l.Open(o.Credentials)
	if err != nil {
		return nil, fmt.Errorf("-object-store: %w", err)
	}
	return b, nil
}

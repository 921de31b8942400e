// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3 is a bucket behind the S3 protocol.
type s3 struct {
	client *minio.Client
	bucket string
	prefix string // with a slash at its end, or ""
	text   string
}

// newS3 returns the bucket at a location.
func newS3(l *Location, credentialsFile string, roots *x509.CertPool) (*s3, error) {
	var provider *credentials.Credentials
	switch {
	case credentialsFile != "":
		if _, err := os.Stat(credentialsFile); err != nil {
			return nil, fmt.Errorf("read credentials of object storage: %w", err)
		}
		provider = credentials.NewFileAWSCredentials(credentialsFile, "")
	case l.Role:
		provider = credentials.NewIAM("")
	default:
		provider = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	}
	lookup := minio.BucketLookupAuto
	if l.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(l.Endpoint, &minio.Options{
		Creds: provider, Secure: !l.Plain, Region: l.Region, BucketLookup: lookup,
		MaxRetries: 1, // see Patient
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   16,
			DisableCompression:    true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up object storage: %w", err)
	}
	s := &s3{client: client, bucket: l.Bucket, text: "s3://" + l.Bucket + " at " + l.Endpoint}
	if l.Prefix != "" {
		s.prefix = l.Prefix + "/"
		s.text = "s3://" + l.Bucket + "/" + l.Prefix + " at " + l.Endpoint
	}
	return s, nil
}

// String implements [Bucket].
func (s *s3) String() string { return s.text }

// failed says what an error means.
func (s *s3) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	meaning := ErrAway
	switch {
	case r.Code == minio.NoSuchKey || (r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket):
		meaning = ErrNotFound
	case r.StatusCode == http.StatusPreconditionFailed || r.Code == "PreconditionFailed":
		meaning = ErrExists
	case r.Code == minio.NoSuchBucket, r.StatusCode == http.StatusForbidden, r.StatusCode == http.StatusUnauthorized:
		meaning = ErrDenied
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		meaning = ErrDamaged
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return fmt.Errorf("%s %s: %w: %w", what, name, meaning, err)
}

// partBytes is the size of the parts of a large upload.
const partBytes = 16 << 20

// Put implements [Bucket].
func (s *s3) Put(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, r, size, minio.PutObjectOptions{
		ContentType: "application/vnd.apache.parquet", PartSize: partBytes, NumThreads: 2,
		// Without TLS the client signs content in chunks, those of nothing as well, which some
		// servers take for the start of the next request.
		DisableContentSha256: size == 0,
	})
	return s.failed("put object", name, err)
}

// PutNew implements [Bucket].
func (s *s3) PutNew(ctx context.Context, name string, content []byte) error {
	options := minio.PutObjectOptions{ContentType: "application/json", DisableMultipart: true}
	options.SetMatchETagExcept("*")
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(content), int64(len(content)), options)
	return s.failed("put object", name, err)
}

// Get implements [Bucket].
func (s *s3) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.failed("get object", name, err)
	}
	defer func() { _ = o.Close() }() // was only read
	b, err := io.ReadAll(io.LimitReader(o, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("get object %s: %w: it has more than %d bytes", name, ErrDamaged, limit)
	}
	return b, s.failed("get object", name, err)
}

// ReadRange implements [Bucket].
func (s *s3) ReadRange(ctx context.Context, name string, b []byte, offset int64) error {
	if len(b) == 0 {
		return nil
	}
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+int64(len(b))-1); err != nil {
		return fmt.Errorf("read object %s: %w", name, err)
	}
	body, _, _, err := minio.Core{Client: s.client}.GetObject(ctx, s.bucket, s.prefix+name, options)
	if err != nil {
		return s.failed("read object", name, err)
	}
	defer func() { _ = body.Close() }() // was only read
	_, err = io.ReadFull(body, b)
	return s.failed("read object", name, err)
}

// Delete implements [Bucket].
func (s *s3) Delete(ctx context.Context, name string) error {
	err := s.failed("delete object", name, s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// List implements [Bucket].
func (s *s3) List(ctx context.Context, prefix string, f func(Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the list when f does not want the rest
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s.failed("list objects", s.prefix+prefix, o.Err)
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		if err := f(Object{Name: name, Bytes: o.Size, Modified: o.LastModified}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Location is where objects are, as a URL says it:
//
//	s3://bucket/prefix?endpoint=https://host:port&region=name&path-style=true&ca=file
//	file:///directory
//
// Without an endpoint the storage is that of AWS. Credentials are never part of it.
type Location struct {
	Directory string // of file URLs

	Bucket, Prefix string
	Endpoint       string // host:port
	Region         string
	Plain          bool // HTTP in place of HTTPS
	PathStyle      bool
	CA             string // PEM file
	// Role says that the credentials are those that the machine has from its cloud.
	Role bool
}

// ErrSecret is returned (wrapped) for a URL with credentials in it.
var ErrSecret = errors.New("it holds credentials, which others could see: put them into the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or a file")

// ParseLocation reads a URL. Its errors do not repeat what may be a secret.
func ParseLocation(text string) (*Location, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is not a valid URL")
	}
	if u.User != nil {
		return nil, ErrSecret
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.RawQuery != "" || !filepath.IsAbs(u.Path) {
			return nil, errors.New("a file URL has the form file:///directory")
		}
		return &Location{Directory: filepath.Clean(u.Path)}, nil
	case "s3":
	default:
		return nil, fmt.Errorf("scheme %q is not known: expected s3:// or file://", u.Scheme)
	}
	l := &Location{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Endpoint: "s3.amazonaws.com"}
	if l.Bucket == "" || strings.Contains(l.Bucket, ":") {
		return nil, errors.New("it has no bucket: expected s3://bucket/prefix")
	}
	if l.Prefix != "" && (l.Prefix != path.Clean(l.Prefix) || strings.HasPrefix(l.Prefix, "..")) {
		return nil, fmt.Errorf("prefix %q has empty parts or dots", l.Prefix)
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("its parameters are not valid")
	}
	for name, all := range values {
		if err := l.set(name, all[len(all)-1]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// set sets a parameter.
func (l *Location) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		scheme, host, ok := strings.Cut(value, "://")
		switch {
		case !ok:
			host = value
		case scheme == "http":
			l.Plain = true
		case scheme != "https":
			return fmt.Errorf("endpoint: scheme %q is neither http nor https", scheme)
		}
		if host = strings.TrimSuffix(host, "/"); host == "" || strings.ContainsAny(host, "/@?") {
			return errors.New("endpoint: expected host:port, or one with http:// or https://")
		}
		l.Endpoint = host
	case "region":
		l.Region = value
	case "ca":
		l.CA = value
	case "path-style":
		l.PathStyle, err = strconv.ParseBool(value)
	case "credentials":
		if l.Role = value == "role"; !l.Role {
			return errors.New("credentials: only \"role\" can be said here")
		}
	case "access-key", "access_key", "secret-key", "secret_key", "key", "secret", "token", "password":
		return ErrSecret
	default:
		return fmt.Errorf("parameter %q is not known: there are endpoint, region, path-style, ca and credentials", name)
	}
	if err != nil {
		return fmt.Errorf("%s: expected true or false", name)
	}
	return nil
}

// Open returns the bucket at a location. credentialsFile may be "": then the
// credentials are those in the environment, or in the file of the AWS tools. Nothing
// is asked of the storage yet.
func (l *Location) Open(credentialsFile string) (Bucket, error) {
	if l.Directory != "" {
		return NewDir(l.Directory), nil
	}
	var roots *x509.CertPool
	if l.CA != "" {
		pem, err := os.ReadFile(l.CA)
		if err != nil {
			return nil, fmt.Errorf("read authority of object storage: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", l.CA)
		}
	}
	return newS3(l, credentialsFile, roots)
}

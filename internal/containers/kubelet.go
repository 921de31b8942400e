// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kubelet asks the kubelet of this node for its pods: a GET of /pods. It needs a token
// that may do so (in RBAC, get on nodes/pods, or on nodes/proxy before Kubernetes 1.33
// knew that), or the port 10255, which asks for none and is off by default.
type kubelet struct {
	url     url.URL
	token   string // the file
	ca      string // the file, "" for the system's
	options KubeletOptions
	client  *http.Client
	// caBytes are what the client was made with: authorities are replaced while pods run.
	caBytes []byte
	wanted  *wanted
}

// KubeletOptions say how to ask the kubelet.
type KubeletOptions struct {
	// URL is "auto", "off", or the address, such as https://10.0.0.7:10250. With auto the
	// kubelet is asked if the variable NODE_IP or NODE_NAME says where it is and there is
	// the token of a service account. The path is /pods unless there is another.
	URL string
	// CAFile has certificates to trust, "" for that of the service account.
	CAFile string
	// SkipVerify trusts whoever answers: many kubelets have a certificate of their own
	// making. The token is then shown to whoever answers at the address, too.
	SkipVerify bool
	// ServiceAccount is the directory with token and ca.crt; where Kubernetes mounts it if empty.
	ServiceAccount string
}

const (
	// KubeletAuto and Off are values of KubeletOptions.URL.
	KubeletAuto = "auto"
	// Off turns something off.
	Off = "off"

	defaultServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	kubeletPort           = "10250"
	// maxPodsBytes bounds an answer: 250 pods of 40 KiB, and as much again.
	maxPodsBytes  = 32 << 20
	maxTokenBytes = 64 << 10
)

// newKubelet returns the kubelet to ask, nil if there is none and none was asked for.
func newKubelet(o KubeletOptions, getenv func(string) string, w *wanted) (*kubelet, error) {
	account := cmp.Or(o.ServiceAccount, defaultServiceAccount)
	k := &kubelet{options: o, wanted: w, token: filepath.Join(account, "token"), ca: o.CAFile}
	if k.ca == "" {
		k.ca = filepath.Join(account, "ca.crt")
	}
	switch o.URL {
	case Off, "":
		return nil, nil //nolint:nilnil // documented
	case KubeletAuto:
		host := cmp.Or(getenv("NODE_IP"), getenv("NODE_NAME"))
		if host == "" {
			return nil, nil //nolint:nilnil // documented
		}
		if _, err := os.Stat(k.token); err != nil {
			return nil, nil //nolint:nilnil,nilerr // not in a pod that may ask
		}
		k.url = url.URL{Scheme: "https", Host: net.JoinHostPort(strings.Trim(host, "[]"), kubeletPort)}
	default:
		u, err := CheckKubeletURL(o.URL)
		if err != nil {
			return nil, err
		}
		k.url = *u
	}
	if k.url.Path == "" || k.url.Path == "/" {
		k.url.Path = "/pods"
	}
	return k, nil
}

// CheckKubeletURL reads an address of a kubelet.
func CheckKubeletURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, fmt.Errorf("is %q, must be auto, off, or an address such as https://10.0.0.7:10250", text)
	}
	return u, nil
}

func (k *kubelet) kind() string  { return kindKubelet }
func (k *kubelet) where() string { return k.url.String() }

func (k *kubelet) close() {
	if k.client != nil {
		k.client.CloseIdleConnections()
	}
}

// prepare makes the client, and makes it anew when the authorities have changed.
func (k *kubelet) prepare() error {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: k.options.SkipVerify} //nolint:gosec // as asked for
	var ca []byte
	if k.url.Scheme == "https" && !k.options.SkipVerify {
		var err error
		ca, err = readFile(k.ca, 1<<20)
		switch {
		case err == nil:
			c.RootCAs = x509.NewCertPool()
			if !c.RootCAs.AppendCertsFromPEM(ca) {
				return fmt.Errorf("%s has no certificates", k.ca)
			}
		case k.options.CAFile == "" && errors.Is(err, fs.ErrNotExist):
			// Outside of a pod those of the system count.
		default:
			return fmt.Errorf("read the certificates to trust: %w", err)
		}
	}
	if k.client != nil && bytes.Equal(ca, k.caBytes) {
		return nil
	}
	k.close()
	k.caBytes = ca
	k.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: c, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: lookTimeout,
		},
		// The token must not follow to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errUnsupported },
	}
	return nil
}

// look implements source. Whatever is asked for, the answer is that of all pods.
func (k *kubelet) look(ctx context.Context, _ []string, tell func(string, container)) error {
	if err := k.prepare(); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url.String(), http.NoBody)
	if err != nil {
		return err
	}
	// A token never travels in the clear. It is replaced every hour, so it is read each time.
	if k.url.Scheme == "https" {
		token, err := readFile(k.token, maxTokenBytes)
		if err == nil {
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the token of the service account: %w", err)
		}
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // read only
	if answer.StatusCode != http.StatusOK {
		return statusError(answer)
	}
	return k.read(answer.Body, tell)
}

// pod is what is used of a Pod of Kubernetes.
type pod struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels               map[string]string
	}
	Status struct {
		ContainerStatuses, InitContainerStatuses, EphemeralContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name, Image, ContainerID string
	// LastState has the container that ran before a restart, whose samples may still be on their way.
	LastState struct {
		Terminated *struct{ ContainerID string }
	}
}

// read reads a PodList.
func (k *kubelet) read(r io.Reader, tell func(string, container)) error {
	limited := &io.LimitedReader{R: r, N: maxPodsBytes}
	err := readPodList(json.NewDecoder(limited), func(p *pod) { k.tellPod(p, tell) })
	if err != nil && limited.N <= 0 {
		return errTooLarge
	}
	return err
}

// readPodList reads one pod at a time out of the field items of an object.
func readPodList(d *json.Decoder, yield func(*pod)) error {
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("read the list of pods: %w", err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%w: found %v in place of a list of pods", errUnsupported, t)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("read the list of pods: %w", err)
		}
		if key == "items" {
			err = eachElement(d, func(decode func(any) error) error {
				var p pod
				if err := decode(&p); err != nil {
					return err
				}
				yield(&p)
				return nil
			})
		} else {
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return fmt.Errorf("read the list of pods: %w", err)
		}
	}
	return nil
}

func (k *kubelet) tellPod(p *pod, tell func(string, container)) {
	of := container{
		pod: clean(p.Metadata.Name, maxValueBytes), podUID: clean(p.Metadata.UID, maxValueBytes),
		namespace: clean(p.Metadata.Namespace, maxValueBytes),
	}
	of.addPodLabels(p.Metadata.Labels, k.wanted)
	for _, statuses := range [][]containerStatus{
		p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses,
	} {
		for i := range statuses {
			s := &statuses[i]
			c := of
			c.inPod, c.image = clean(s.Name, maxValueBytes), clean(s.Image, maxValueBytes)
			ids := []string{s.ContainerID}
			if t := s.LastState.Terminated; t != nil {
				ids = append(ids, t.ContainerID)
			}
			for _, id := range ids {
				// "containerd://ID"
				runtime, id, ok := strings.Cut(id, "://")
				if ok && isID(id) {
					c.runtime = clean(runtime, maxKeyBytes)
					tell(id, c)
				}
			}
		}
	}
}

// readFile reads a small file.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // named by the operator, or where Kubernetes mounts it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

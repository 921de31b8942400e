// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"

	"github.com/strobe-profiler/strobe/support/dockertest"
)

// programs are what a cluster consists of beside etcd and the API server, by the
// variables that name them.
var programs = []string{"KUBE_CONTROLLER_MANAGER", "KUBE_SCHEDULER", "KUBELET"}

// startCluster starts what makes a cluster of one node of an API server: controllers,
// scheduler, kubelet, names and volumes. There is no proxy of services and nothing that
// enforces network policies.
func startCluster(t *testing.T) (*apiServer, *node) {
	t.Helper()
	s := serve(t, nodeAddress)
	versions := []string{}
	for _, variable := range programs {
		out, err := exec.Command(os.Getenv(variable), "--version").Output() //nolint:gosec // of the caller
		if err != nil {
			t.Fatalf("%s: %v", variable, err)
		}
		versions = append(versions, strings.TrimSpace(string(out)))
	}
	t.Logf("%s", strings.Join(versions, ", "))
	start(t, "KUBE_CONTROLLER_MANAGER", "--kubeconfig", s.kubeconfig(t), "--leader-elect=false", "--cert-dir", t.TempDir(),
		"--bind-address", "127.0.0.1", "--secure-port", freePort(t), "--service-account-private-key-file", s.ca.key, "--root-ca-file", s.ca.file)
	start(t, "KUBE_SCHEDULER", "--kubeconfig", s.kubeconfig(t), "--leader-elect=false", "--cert-dir", t.TempDir(),
		"--bind-address", "127.0.0.1", "--secure-port", freePort(t))
	s.serveNames(t)
	n := s.startNode(t)
	// One for each time that the collection agent is installed with nothing there.
	for i := range 2 {
		dir := fmt.Sprintf("/var/lib/volume-%d", i)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s.apply(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-%d}
spec:
  capacity: {storage: 50Gi}
  accessModes: [ReadWriteOnce]
  local: {path: %s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]}]}}
`, i, dir, nodeName))
	}
	pause := filepath.Join(t.TempDir(), "busy")
	goBuild(t, pause, "./internal/containers/testdata/busy")
	n.load(t, pause, []string{"-idle"}, dockertest.PauseImage)
	n.load(t, pause, nil, "shop/checkout:1.4")
	return s, n
}

// serveNames answers questions for addresses of services at the address of the node, with those
// of their pods, so that nothing has to stand for the address of a service.
func (s *apiServer) serveNames(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", nodeAddress+":53") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:n]); err != nil || len(m.Questions) != 1 {
				continue
			}
			m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RCode: dnsmessage.RCodeNameError}
			m.Answers, m.Authorities, m.Additionals = nil, nil, nil
			q := m.Questions[0]
			for _, address := range s.addresses(q.Name.String()) {
				m.RCode = dnsmessage.RCodeSuccess
				if ip := net.ParseIP(address).To4(); ip != nil && q.Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
						Body:   &dnsmessage.AResource{A: [4]byte(ip)},
					})
				}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
}

// addresses returns those of the pods behind NAME.NAMESPACE.svc.cluster.local.
func (s *apiServer) addresses(name string) (all []string) {
	service, ok := strings.CutSuffix(name, ".svc.cluster.local.")
	service, inNamespace, ok2 := strings.Cut(service, ".")
	if !ok || !ok2 || strings.Contains(inNamespace, ".") {
		return nil
	}
	var is core.Service
	var pods core.PodList
	path := "/api/v1/namespaces/" + inNamespace
	if s.get(path+"/services/"+service, &is) != nil || s.get(path+"/pods", &pods) != nil {
		return nil
	}
	for i := range pods.Items {
		p, selected := &pods.Items[i], len(is.Spec.Selector) > 0
		for key, value := range is.Spec.Selector {
			selected = selected && p.Labels[key] == value
		}
		for _, c := range p.Status.Conditions {
			if selected && c.Type == core.PodReady && c.Status == core.ConditionTrue {
				all = append(all, p.Status.PodIP)
			}
		}
	}
	return all
}

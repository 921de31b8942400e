// SPDX-License-Identifier: Apache-2.0

// Command k8sanswers writes what a runtime and a kubelet answer, by the types of
// Kubernetes itself. None of it is part of the program:
//
//	go run . ../answers
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const uid = "0b6a3a52-7d0b-4d4c-9c3a-6f1de2a7b1c4"

var (
	sandbox = strings.Repeat("5a", 32)
	web     = strings.Repeat("3e", 32)
	before  = strings.Repeat("3d", 32)
	setup   = strings.Repeat("1b", 32)
	debug   = strings.Repeat("d0", 32)
	hash    = "sha256:" + strings.Repeat("ab", 32)
	pod     = map[string]string{"app.kubernetes.io/name": "checkout", "tier": "front", "secret": "not asked for"}
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: k8sanswers DIR")
	}
	kube := map[string]string{
		"io.kubernetes.pod.name": "checkout-7d9", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": uid,
		"io.kubernetes.container.name": "web",
	}
	for name, m := range map[string]proto.Message{
		"version": &cri.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: "1.7.27", RuntimeApiVersion: "v1"},
		"containers": &cri.ListContainersResponse{Containers: []*cri.Container{{
			Id: web, PodSandboxId: sandbox, Metadata: &cri.ContainerMetadata{Name: "web", Attempt: 3},
			Image:    &cri.ImageSpec{Image: hash, Annotations: map[string]string{"a": "b"}, UserSpecifiedImage: "shop/checkout:1.4", RuntimeHandler: "runc"},
			ImageRef: hash, State: cri.ContainerState_CONTAINER_RUNNING, CreatedAt: 1700000000000000000,
			Labels: kube, Annotations: map[string]string{"io.kubernetes.container.hash": "d41d8cd9"}, ImageId: hash,
		}, {Id: setup, PodSandboxId: sandbox, Metadata: &cri.ContainerMetadata{Name: "setup"}, Image: &cri.ImageSpec{Image: hash}}}},
		"sandboxes": &cri.ListPodSandboxResponse{Items: []*cri.PodSandbox{{
			Id: sandbox, Metadata: &cri.PodSandboxMetadata{Name: "checkout-7d9", Uid: uid, Namespace: "shop", Attempt: 1},
			State: cri.PodSandboxState_SANDBOX_READY, CreatedAt: 1700000000000000000, Labels: pod,
			Annotations: map[string]string{"kubernetes.io/config.source": "api"}, RuntimeHandler: "runc",
		}}},
		"status": &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
			Id: setup, Metadata: &cri.ContainerMetadata{Name: "setup"}, State: cri.ContainerState_CONTAINER_EXITED, ExitCode: -1,
			Image: &cri.ImageSpec{Image: "registry.example:5000/shop/setup:2"}, ImageRef: hash, Reason: "Completed",
			Mounts: []*cri.Mount{{ContainerPath: "/x", HostPath: "/y", Readonly: true}},
		}, Info: map[string]string{"info": "{}"}},
	} {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		write(name+".bin", b, err)
	}
	b, err := json.MarshalIndent(pods(), "", " ")
	write("pods.json", b, err)
}

// pods is the answer of a kubelet, which has neither versions nor managed fields.
func pods() *core.PodList {
	return &core.PodList{
		TypeMeta: meta.TypeMeta{Kind: "PodList", APIVersion: "v1"},
		Items: []core.Pod{{
			ObjectMeta: meta.ObjectMeta{
				Name: "checkout-7d9", Namespace: "shop", UID: uid, Labels: pod,
				Annotations:     map[string]string{"kubernetes.io/config.seen": "2026-01-01T00:00:00Z"},
				OwnerReferences: []meta.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "checkout", UID: "x"}},
			},
			Spec: core.PodSpec{NodeName: "n1", Containers: []core.Container{{Name: "web", Image: "shop/checkout:1.4"}}},
			Status: core.PodStatus{
				Phase: core.PodRunning,
				ContainerStatuses: []core.ContainerStatus{{
					Name: "web", Image: "shop/checkout:1.4", ImageID: hash, ContainerID: "containerd://" + web, RestartCount: 1,
					State:                core.ContainerState{Running: &core.ContainerStateRunning{}},
					LastTerminationState: core.ContainerState{Terminated: &core.ContainerStateTerminated{ContainerID: "containerd://" + before, ExitCode: 1}},
				}, {Name: "waits", State: core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}},
				InitContainerStatuses:      []core.ContainerStatus{{Name: "setup", Image: "registry.example:5000/shop/setup:2", ContainerID: "containerd://" + setup}},
				EphemeralContainerStatuses: []core.ContainerStatus{{Name: "debug", Image: "busybox", ContainerID: "containerd://" + debug}},
			},
		}, {
			ObjectMeta: meta.ObjectMeta{Name: "etcd-n1", Namespace: "kube-system", UID: "0123456789abcdef0123456789abcdef"},
			Status: core.PodStatus{ContainerStatuses: []core.ContainerStatus{{
				Name: "etcd", Image: "sha256:" + strings.Repeat("cd", 32), ContainerID: "cri-o://" + strings.Repeat("e7", 32),
			}}},
		}},
	}
}

func write(name string, b []byte, err error) {
	if err == nil {
		err = os.WriteFile(filepath.Join(os.Args[1], name), b, 0o644) //nolint:gosec // for everybody
	}
	if err != nil {
		log.Fatal(err)
	}
}

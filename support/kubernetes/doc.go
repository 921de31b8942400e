// SPDX-License-Identifier: Apache-2.0

// Package kubernetes tests the Helm chart in strobe and the plain manifests in
// manifests, which are what the chart makes of manifests/values.yaml. It is a module of
// its own, because the types of Kubernetes and the engine of Helm are large.
//
// Each case of the tests renders the chart as Helm does and decodes the result into
// the types of the API, where a field that is not known is an error. Then the settings
// in it are given to the real programs, and what has to fit together is compared: ports,
// selectors, mounts, limits, capabilities.
//
// With the build tag apiserver, the same goes to a real API server as well, see
// "make test-kubernetes-api": what types cannot say, validation, admission and the
// authorizer do. Where further variables name a kubelet, the controllers and the clients, pods
// run as well, and the commands of docs/kubernetes.md are run in such a cluster of one node.
package kubernetes

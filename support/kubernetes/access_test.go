// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	authorization "k8s.io/api/authorization/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// may asks whether a service account may do something, as the kubelet asks for the agent.
func (s *apiServer) may(t *testing.T, account string, do authorization.ResourceAttributes) bool {
	t.Helper()
	review := authorization.SubjectAccessReview{
		TypeMeta: meta.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"},
		Spec: authorization.SubjectAccessReviewSpec{
			User:               "system:serviceaccount:" + namespace + ":" + account,
			Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			ResourceAttributes: &do,
		},
	}
	b, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	status, _, body, err := s.do(http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "application/json", b)
	if err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// nodeRight is to get something of the node.
func nodeRight(sub string) authorization.ResourceAttributes {
	return authorization.ResourceAttributes{Verb: "get", Resource: "nodes", Subresource: sub, Name: nodeName}
}

// checkAccess holds that the agent may see the pods of a node, and that nothing more was
// given to anybody.
func (s *apiServer) checkAccess(t *testing.T) {
	t.Helper()
	const agent, collectionAgent = "strobe-agent", "strobe-collectionagent"
	pods := nodeRight("pods")
	eventually(t, func() error { // the authorizer sees bindings a moment later
		if !s.may(t, agent, pods) {
			return errors.New("the agent may not get nodes/pods")
		}
		return nil
	})
	for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
		for _, do := range []authorization.ResourceAttributes{
			pods,
			{Resource: "nodes"},
			{Resource: "nodes", Subresource: "proxy", Name: "node-1"},
			{Resource: "nodes", Subresource: "stats", Name: "node-1"},
			{Resource: "pods", Namespace: namespace},
			{Resource: "pods", Subresource: "exec", Namespace: namespace},
			{Resource: "secrets", Namespace: namespace},
			{Resource: "configmaps", Namespace: namespace},
		} {
			do.Verb = verb
			for _, account := range []string{agent, collectionAgent} {
				if s.may(t, account, do) && !(account == agent && do == pods) {
					t.Errorf("%s may %s %s/%s", account, verb, do.Resource, do.Subresource)
				}
			}
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	sigs "sigs.k8s.io/yaml"
)

// cases are the ways to install that the tests look at.
var cases = map[string]string{
	"default":     ``,
	"plain":       `{tls: {mode: "off"}, networkPolicy: {enabled: false}}`,
	"secret":      `{tls: {mode: secret, names: [profiles.example.com]}, podMonitor: {enabled: true, labels: {release: prometheus}}}`,
	"certManager": `{tls: {mode: certManager, issuerRef: {name: own, kind: ClusterIssuer}}, podMonitor: {enabled: true}}`,
	"clickhouse": `{tls: {mode: certManager, issuerRef: {name: own}}, podMonitor: {enabled: true},
		collectionagent: {store: clickhouse, replicas: 3, clickhouse: {cluster: main, caConfigMap: ch-ca}}}`,
	"scaled": `{tls: {mode: secret}, collectionagent: {store: clickhouse, autoscaling: {enabled: true}}}`,
	"mutual": `{tls: {clientCA: agents-ca}, agent: {clientCertificate: agent-tls, kubelet: {enabled: false}}}`,
	"kubelet": `{agent: {kubelet: {url: "https://$(NODE_IP):10250", skipVerify: true}, runtimeSocket: /run/containerd/containerd.sock},
		networkPolicy: {httpNamespaces: [ops, monitoring], metricsNamespaces: [monitoring], grpcFrom: [{ipBlock: {cidr: 10.0.0.0/8}}]}}`,
	"old nodes": `{agent: {privileged: true, kubelet: {resource: nodes/proxy}, seLinuxOptions: {type: spc_t}, spool: {type: emptyDir, sizeMiB: 100}}}`,
	"everything": `{nameOverride: x, fullnameOverride: profiles, imagePullSecrets: [registry], namespace: {create: true}, serviceAccount: {annotations: {a: b}},
		agent: {image: {repository: r.example/strobe/agent, tag: v1, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
			memoryMiB: 512, config: {tags: {cluster: prod}, exclude-executable: [sshd, "a b"], samples-per-second: 99, log-format: json},
			affinity: {nodeAffinity: {}}, priorityClassName: system-node-critical, podAnnotations: {a: b}, podLabels: {c: d}},
		collectionagent: {config: {log-format: json, retention-rule: "type=off_cpu,samples=2d", max-concurrent: 100}, memoryMiB: 4096,
			persistence: {storageClassName: fast, annotations: {a: b}, whenDeleted: Delete}, envFrom: [{secretRef: {name: s3}}],
			affinity: {nodeAffinity: {}}, tolerations: [{key: a, operator: Exists}], priorityClassName: high, podAnnotations: {a: b}, podLabels: {c: d},
			service: {type: LoadBalancer, annotations: {a: b}}, resources: {limits: {memory: 6Gi, cpu: "2"}}}}`,
	"agents alone":           `{collectionagent: {enabled: false}, agent: {collectionAgent: "profiles.example.com:11000"}, podMonitor: {enabled: true}}`,
	"collection agent alone": `{agent: {enabled: false}}`,
}

// TestLint lints as "helm lint --strict" does.
func TestLint(t *testing.T) {
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			var user map[string]any
			if err := sigs.UnmarshalStrict([]byte(values), &user); err != nil {
				t.Fatal(err)
			}
			result := lint.AllWithKubeVersion(chartDir, user, namespace, &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"})
			for _, m := range result.Messages {
				if m.Severity >= support.WarningSev {
					t.Error(m)
				}
			}
		})
	}
}

// TestRefused has what the schema or the templates must not take.
func TestRefused(t *testing.T) {
	for values, want := range map[string]string{
		`{agnet: {}}`:                                                        "agnet",
		`{agent: {memory: 1}}`:                                               "memory",
		`{agent: {memoryMiB: "256"}}`:                                        "memoryMiB",
		`{agent: {samplesPerSecond: 5000}}`:                                  "samplesPerSecond",
		`{agent: {kubelet: {resource: "*"}}}`:                                "resource",
		`{agent: {image: {digest: latest}}}`:                                 "digest",
		`{agent: {config: {Tags: {}}}}`:                                      "Tags",
		`{agent: {config: {config: other.conf}}}`:                            "config",
		`{collectionagent: {retention: forever}}`:                            "retention",
		`{collectionagent: {store: memory}}`:                                 "store",
		`{collectionagent: {replicas: 2}}`:                                   "set collectionagent.store to clickhouse",
		`{collectionagent: {autoscaling: {enabled: true}}}`:                  "set collectionagent.store to clickhouse",
		`{collectionagent: {store: clickhouse}}`:                             "set it to certManager or secret",
		`{collectionagent: {enabled: false}}`:                                "say where to send",
		`{tls: {mode: certManager}}`:                                         "tls.issuerRef.name",
		`{tls: {mode: none}}`:                                                "mode",
		`{tls: {clientCA: x}}`:                                               "agent.clientCertificate",
		`{tls: {clientCA: x, mode: "off"}, agent: {clientCertificate: own}}`: "needs TLS",
	} {
		if _, _, err := render(values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want something about %q", values, err, want)
		}
	}
}

// TestSchema holds that the schema has each value, and refuses all others.
func TestSchema(t *testing.T) {
	type schema struct {
		Type                 any               `json:"type"`
		Properties           map[string]schema `json:"properties"`
		AdditionalProperties any               `json:"additionalProperties"`
	}
	var s schema
	var values map[string]any
	if err := json.Unmarshal(file(t, "strobe/values.schema.json"), &s); err != nil {
		t.Fatal(err)
	}
	if err := sigs.UnmarshalStrict(file(t, "strobe/values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, s schema, value map[string]any)
	walk = func(path string, s schema, value map[string]any) {
		if s.AdditionalProperties != false {
			t.Errorf("%s takes anything", path)
		}
		for name, sub := range s.Properties {
			v, ok := value[name]
			if !ok && path+name != ".global" && !strings.Contains(path, "seLinuxOptions") && !strings.Contains(path, "resources") {
				t.Errorf("values.yaml lacks %s%s", path, name)
			}
			if m, ok := v.(map[string]any); ok && sub.Properties != nil {
				walk(path+name+".", sub, m)
			}
		}
		for name := range value {
			if _, ok := s.Properties[name]; !ok {
				t.Errorf("the schema lacks %s%s", path, name)
			}
		}
	}
	walk(".", s, values)
}

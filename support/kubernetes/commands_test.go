// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/strobe-profiler/strobe/support/doctest"
	"github.com/strobe-profiler/strobe/support/skip"
)

// reader does what docs/kubernetes.md says, in its order.
type reader struct {
	t       *testing.T
	server  *apiServer
	options doctest.Options
	sh      *doctest.Shell
	// pods says that there is a node, on which pods run.
	pods bool
}

// needsPods matches commands that wait for what pods or controllers do.
var needsPods = regexp.MustCompile(`\b(exec|rollout|port-forward|delete namespace|delete -f)\b`)

// run runs a block, if that can be done here, and returns what it printed.
func (r *reader) run(b *doctest.Block) string {
	r.t.Helper()
	if !r.pods && needsPods.MatchString(b.Text) {
		r.t.Logf("%s: not run, as there is no node", b.Pos())
		b.Ran()
		return ""
	}
	out := ""
	if strings.Contains(b.Text, "agent status") {
		out = r.sh.RunUntil(b, nil) // it has nobody to deliver to in its first seconds
	} else {
		out = r.sh.Run(b)
	}
	for line := range strings.Lines(out) {
		// Clients may be newer than the server: the rest of what they warn of is an error.
		if strings.HasPrefix(line, "Warning: ") && !strings.Contains(line, "exceeds the supported minor version skew") {
			r.t.Errorf("%s: %s", b.Pos(), line)
		}
	}
	return out
}

// TestAPIServerCommands runs the commands of docs/kubernetes.md, in the order in which a reader
// does: with helm from the installation to the end, and then the same with plain manifests.
func TestAPIServerCommands(t *testing.T) {
	for _, variable := range []string{"HELM", "KUBECTL"} {
		if os.Getenv(variable) == "" {
			skip.Because(t, variable+" does not name the program: docs/kubernetes.md")
		}
	}
	missing := []string{}
	for _, variable := range programs {
		if os.Getenv(variable) == "" {
			missing = append(missing, variable)
		}
	}
	r := &reader{t: t, pods: len(missing) == 0}
	var n *node
	if r.pods {
		if !isolated(t) {
			return
		}
		r.server, n = startCluster(t)
		bin := build(t)
		for _, program := range []string{"agent", "collectionagent"} {
			n.load(t, filepath.Join(bin, program), nil, "strobe/"+program+":"+chartVersion(t))
		}
	} else {
		t.Logf("what needs pods is left out, as %s do not name programs", strings.Join(missing, ", "))
		r.server = serve(t, "127.0.0.1")
	}

	install := doctest.Open(t, "docs/kubernetes.md", "Install")
	upgrade := doctest.Open(t, "docs/kubernetes.md", "Upgrade")
	uninstall := doctest.Open(t, "docs/kubernetes.md", "Uninstall")
	bin, home := t.TempDir(), t.TempDir()
	for variable, name := range map[string]string{"HELM": "helm", "KUBECTL": "kubectl"} {
		if err := os.Symlink(os.Getenv(variable), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.options = doctest.Options{
		Path: []string{bin}, Timeout: 4 * time.Minute,
		Env: []string{
			"KUBECONFIG=" + r.server.kubeconfig(t), "HOME=" + home,
			"HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home,
		},
		Replace: map[string]string{},
	}
	if r.pods {
		r.options.Replace = map[string]string{
			"strobe.tar": filepath.Join(home, "strobe.tar"),
			// The page is looked at while it runs.
			"port-forward svc/strobe-collectionagent 7070": "port-forward svc/strobe-collectionagent 7070 &",
		}
	}
	r.sh = install.Shell(t, r.options)
	versions := exec.Command("sh", "-c", `"$HELM" version --short; "$KUBECTL" version --client | head -1`)
	if out, err := versions.CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	} else {
		t.Logf("helm %s", strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", kubectl "))
	}

	helm, manifests, tokens, agents, page := install.Block(0), install.Block(1), install.Block(2), install.Block(3), install.Block(4)
	r.run(helm)
	r.run(tokens)
	r.checkAgents(r.run(agents), n)
	r.checkPage(r.run(page))
	r.run(upgrade.Block(0))
	r.checkBackup(filepath.Join(home, "strobe.tar"))
	r.upgrade(upgrade.Block(1))
	r.run(uninstall.Block(0))
	r.checkLeft()
	r.run(helm)
	r.run(agents) // with what was left, and nothing else
	r.run(uninstall.Block(0))
	r.run(uninstall.Block(1))
	if !r.pods { // and so the namespace of before stays, which kubectl warns of the first time
		r.must("kubectl apply -f support/kubernetes/manifests/strobe.yaml")
	}

	r.run(manifests)
	r.run(tokens)
	r.run(agents)
	// kubectl says "configured" of a StatefulSet whatever is in it, for what the server adds to
	// the template of its volume. A new generation is what restarts pods.
	const generations = `kubectl -n strobe get sts,ds -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.generation} {end}'`
	before := r.must(generations)
	r.run(upgrade.Block(2))
	if after := r.must(generations); after != before {
		t.Errorf("the same manifests change something: %q, before %q", after, before)
	}
	r.run(uninstall.Block(2))
}

func chartVersion(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^appVersion: (\S+)$`).FindSubmatch(file(t, "strobe/Chart.yaml"))
	if m == nil {
		t.Fatal("the chart has no version")
	}
	return string(m[1])
}

// extra runs a command that is not in the document as those that are, and returns what it printed.
func (r *reader) extra(text string) (string, error) {
	cmd := exec.Command("bash", "-c", text) //nolint:gosec // of this test
	cmd.Dir = doctest.Root(r.t)
	cmd.Env = append(append(os.Environ(), r.options.Env...), "PATH="+r.options.Path[0]+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *reader) must(text string) string {
	r.t.Helper()
	out, err := r.extra(text)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return out
}

// checkAgents holds that the agent says of the kubelet what the document does, and lets it
// ask where the document says how.
func (r *reader) checkAgents(out string, n *node) {
	r.t.Helper()
	if !r.pods {
		return
	}
	if !strings.Contains(out, nodeAddress+":10250") {
		r.t.Errorf("status and doctor do not say who is asked for names:\n%s", out)
	}
	if old := minor(r.t, n.version) < 33; old != strings.Contains(out, "403") {
		r.t.Errorf("kubelet %s: status and doctor do not say what docs/kubernetes.md does:\n%s", n.version, out)
	} else if old {
		r.must("helm upgrade strobe support/kubernetes/strobe -n strobe --reset-then-reuse-values --set agent.kubelet.resource=nodes/proxy")
	}
}

// checkPage asks the collection agent, as a page in the browser does, for the samples of a
// pod: the agent has found its names.
func (r *reader) checkPage(out string) {
	r.t.Helper()
	if !r.pods {
		return
	}
	r.server.runPod(r.t)
	doctest.WaitListen(r.t, "127.0.0.1:7070")
	token := ""
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 1 {
			token = fields[0]
			break
		}
	}
	var ca core.ConfigMap
	if err := r.server.get("/api/v1/namespaces/"+namespace+"/configmaps/strobe-ca", &ca); err != nil {
		r.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca.Data["ca.pem"]))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	eventually(r.t, func() error {
		request, err := http.NewRequest(http.MethodGet, "https://localhost:7070/api/v1/series?labels=namespace,pod,container,service,host", nil) //nolint:noctx // the client has a timeout
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // it was read
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		var answer struct {
			Series []struct{ Values []string }
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
		for _, one := range answer.Series {
			if strings.Join(one.Values, " ") == "shop checkout-7d9 web checkout "+nodeName {
				return nil
			}
		}
		return fmt.Errorf("no samples of the pod: %s", body)
	})
}

// checkBackup holds that a backup is one.
func (r *reader) checkBackup(path string) {
	r.t.Helper()
	if !r.pods {
		return
	}
	if out, err := r.extra("tar -tf " + path); err != nil || strings.TrimSpace(out) == "" {
		r.t.Errorf("the backup: %v\n%s", err, out)
	}
}

// upgrade upgrades from a chart that knows one value less, and with a value that was set:
// both must be there afterwards.
func (r *reader) upgrade(b *doctest.Block) {
	r.t.Helper()
	older := filepath.Join(r.t.TempDir(), "strobe")
	if err := os.CopyFS(older, os.DirFS(chartDir)); err != nil {
		r.t.Fatal(err)
	}
	values, _, ok := strings.Cut(string(file(r.t, older+"/values.yaml")), "\npodMonitor:\n")
	if err := os.WriteFile(older+"/values.yaml", []byte(values+"\n"), 0o600); err != nil || !ok {
		r.t.Fatalf("%t %v", ok, err)
	}
	if err := os.Remove(older + "/templates/podmonitor.yaml"); err != nil {
		r.t.Fatal(err)
	}
	r.must("helm upgrade strobe " + older + " -n strobe --reset-then-reuse-values --set agent.memoryMiB=300")
	if out, err := r.extra("helm upgrade strobe support/kubernetes/strobe -n strobe --reuse-values --dry-run"); err == nil {
		r.t.Errorf("%s: --reuse-values does as well, and docs/kubernetes.md says that it does not:\n%s", b.Pos(), out)
	}
	r.run(b)
	var is struct {
		Spec struct{ Template core.PodTemplateSpec }
	}
	if err := r.server.get("/apis/apps/v1/namespaces/"+namespace+"/daemonsets/strobe-agent", &is); err != nil {
		r.t.Fatal(err)
	}
	if limit := is.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().String(); limit != "600Mi" {
		r.t.Errorf("%s: the limit of agents is %s; their memoryMiB was set to 300 before", b.Pos(), limit)
	}
	if out := r.must("helm get values strobe -n strobe --all"); !strings.Contains(out, "strobe-metrics-token") {
		r.t.Errorf("%s: the values lack those that are new:\n%s", b.Pos(), out)
	}
	if r.pods {
		r.must("kubectl -n strobe rollout status ds/strobe-agent --timeout 3m && kubectl -n strobe rollout status sts/strobe-collectionagent --timeout 3m")
	}
}

// checkLeft holds that what the document says is left, and nothing else, of all that the
// chart made.
func (r *reader) checkLeft() {
	r.t.Helper()
	if r.pods {
		r.must("kubectl -n strobe wait --for delete pods -l app.kubernetes.io/instance=" + release + " --timeout 2m")
	}
	left := r.must("kubectl -n strobe get -o name all,serviceaccounts,configmaps,secrets,networkpolicies,persistentvolumeclaims,clusterroles,clusterrolebindings " +
		"-l app.kubernetes.io/instance=" + release)
	want := ""
	if r.pods {
		want = "persistentvolumeclaim/data-strobe-collectionagent-0\n"
		r.must("kubectl -n strobe get configmap/strobe-ca secret/strobe-agent-token")
	}
	if left != want {
		r.t.Errorf("after uninstall there is still %q, want %q", left, want)
	}
}

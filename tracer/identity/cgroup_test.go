// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	idA = "3f9c1d0e5b7a4c2e8d6f0a1b2c3d4e5f60718293a4b5c6d7e8f9012345678901"
	idB = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999"
	idC = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	uid = "0b6a3a52-7d0b-4d4c-9c3a-6f1de2a7b1c4"
)

// uidUnderscores is uid as systemd has to write it.
var uidUnderscores = strings.ReplaceAll(uid, "-", "_")

func TestParseCgroup(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   string
		want cgroups
	}{
		"host v2":       {"0::/system.slice/nginx.service\n", cgroups{v2: "/system.slice/nginx.service"}},
		"user session":  {"0::/user.slice/user-1000.slice/session-2.scope\n", cgroups{v2: "/user.slice/user-1000.slice/session-2.scope"}},
		"root":          {"0::/\n", cgroups{v2: "/"}},
		"no newline":    {"0::/a", cgroups{v2: "/a"}},
		"empty":         {"", cgroups{}},
		"garbage":       {"::::\nxyz\n1:2\n3:a:nopath\n", cgroups{}},
		"docker v2":     {"0::/system.slice/docker-" + idA + ".scope\n", cgroups{container{id: idA}, "/system.slice/docker-" + idA + ".scope"}},
		"docker v1":     {"12:cpu,cpuacct:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n", cgroups{container: container{id: idA}}},
		"v1 mixed":      {"3:pids:/\n2:memory:/docker/" + idA + "\n0::/init.scope\n", cgroups{container{id: idA}, "/init.scope"}},
		"podman":        {"0::/machine.slice/libpod-" + idA + ".scope/container\n", cgroups{container{id: idA}, "/machine.slice/libpod-" + idA + ".scope/container"}},
		"podman pod":    {"4:a:/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope\n", cgroups{container: container{id: idA}}},
		"podman cgroup": {"4:a:/libpod_parent/libpod-" + idA + "\n", cgroups{container: container{id: idA}}},
		"rootless":      {"4:a:/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope\n", cgroups{container: container{id: idA}}},
		"podman conmon": {"4:a:/machine.slice/libpod-conmon-" + idA + ".scope\n", cgroups{}},
		"crio conmon":   {"4:a:/kubepods.slice/crio-conmon-" + idA + ".scope\n", cgroups{}},
		"containerd systemd": {
			"4:a:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidUnderscores + ".slice/cri-containerd-" + idA + ".scope\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"crio guaranteed": {
			"4:a:/kubepods.slice/kubepods-pod" + uidUnderscores + ".slice/crio-" + idA + ".scope\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"kubelet cgroupfs": {
			"4:a:/kubepods/besteffort/pod" + uid + "/" + idA + "\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"static pod": {
			"4:a:/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" + idA + "\n",
			cgroups{container: container{id: idA, podUID: "0123456789abcdef0123456789abcdef"}},
		},
		"containerd confused": {
			"4:a:/system.slice/containerd.service/kubepods-burstable-pod" + uidUnderscores + ".slice:cri-containerd:" + idA + "\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"kind: nested, innermost counts": {
			"4:a:/docker/" + idB + "/kubelet/kubepods/pod" + uid + "/" + idA + "\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"systemd in a container": {"4:a:/docker/" + idA + "/system.slice/ssh.service\n", cgroups{container: container{id: idA}}},
		"seen from another namespace": {
			"0::/../../kubepods-pod" + uidUnderscores + ".slice/cri-containerd-" + idA + ".scope\n",
			cgroups{container{id: idA, podUID: uid}, "/../../kubepods-pod" + uidUnderscores + ".slice/cri-containerd-" + idA + ".scope"},
		},
		"hybrid, v2 hidden": {
			"12:pids:/docker/" + idA + "\n1:name=systemd:/docker/" + idA + "\n0::/\n",
			cgroups{container{id: idA}, "/"},
		},
		"beside, seen from a container": {
			"0::/../" + idA + "\n", cgroups{container{id: idA}, "/../" + idA},
		},
		"another slice, seen from a container": {
			"0::/../../../system.slice/docker-" + idA + ".scope\n", cgroups{container{id: idA}, "/../../../system.slice/docker-" + idA + ".scope"},
		},
		"rootless docker": {
			"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope\n",
			cgroups{container{id: idA}, "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope"},
		},
		"podman, cgroups split": {"4:a:/system.slice/web.service/libpod-payload-" + idA + "\n", cgroups{container: container{id: idA}}},
		"crio, own cgroups inside": {
			"4:a:/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidUnderscores + ".slice/crio-" + idA + ".scope/container\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"kind with systemd": {
			"4:a:/system.slice/docker-" + idB + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + uidUnderscores + ".slice/cri-containerd-" + idA + ".scope\n",
			cgroups{container: container{id: idA, podUID: uid}},
		},
		"docker in docker": {"4:a:/docker/" + idB + "/docker/" + idA + "\n", cgroups{container: container{id: idA}}},
		"docker in docker, v2": {
			"0::/system.slice/docker-" + idB + ".scope/docker/" + idA + "\n",
			cgroups{container{id: idA}, "/system.slice/docker-" + idB + ".scope/docker/" + idA},
		},
		"docker's own daemon in docker": { // the image docker:dind moves it there, as cgroups with children hold no process
			"0::/docker/" + idB + "/init\n", cgroups{container{id: idB}, "/docker/" + idB + "/init"},
		},
		"docker in docker, seen from the outer one": {"0::/docker/" + idA + "\n", cgroups{container{id: idA}, "/docker/" + idA}},
		"docker in docker, seen from beside": {
			"0::/../docker-" + idB + ".scope/docker/" + idA + "\n", cgroups{container{id: idA}, "/../docker-" + idB + ".scope/docker/" + idA},
		},
		"podman in docker": {"4:a:/docker/" + idB + "/libpod_parent/libpod-" + idA + "\n", cgroups{container: container{id: idA}}},
		"podman with systemd in it": {
			"0::/machine.slice/libpod-" + idA + ".scope/container/system.slice/cron.service\n",
			cgroups{container{id: idA}, "/machine.slice/libpod-" + idA + ".scope/container/system.slice/cron.service"},
		},
		"k3d": {
			"0::/docker/" + idB + "/kubepods/besteffort/pod" + uid + "/" + idA + "\n",
			cgroups{container{id: idA, podUID: uid}, "/docker/" + idB + "/kubepods/besteffort/pod" + uid + "/" + idA},
		},
		"docker in a pod": {
			"0::/kubepods.slice/kubepods-pod" + uidUnderscores + ".slice/cri-containerd-" + idB + ".scope/docker/" + idA + "\n",
			cgroups{container{id: idA, podUID: uid}, "/kubepods.slice/kubepods-pod" + uidUnderscores + ".slice/cri-containerd-" + idB + ".scope/docker/" + idA},
		},
		"docker in lxc":    {"4:a:/lxc.payload.web1/system.slice/docker-" + idA + ".scope\n", cgroups{container: container{id: idA}}},
		"proxmox":          {"4:a:/lxc/101/ns/system.slice/cron.service\n", cgroups{container: container{name: "101"}}},
		"build":            {"4:a:/docker/buildkit/x5h7oizyhrunip3o2urd7of1d\n", cgroups{container: container{id: "x5h7oizyhrunip3o2urd7of1d"}}},
		"build, systemd":   {"4:a:/system.slice/docker-x5h7oizyhrunip3o2urd7of1d.scope\n", cgroups{container: container{id: "x5h7oizyhrunip3o2urd7of1d"}}},
		"builder":          {"4:a:/docker/buildx/" + idA + "/init\n", cgroups{container: container{id: idA}}},
		"build in builder": {"4:a:/docker/" + idA + "/buildkit/x5h7oizyhrunip3o2urd7of1d\n", cgroups{container: container{id: "x5h7oizyhrunip3o2urd7of1d"}}},
		"nomad":            {"4:a:/nomad.slice/share.slice/" + uid + ".web.scope\n", cgroups{container: container{id: uid, name: "web"}}},
		"nomad 1.3":        {"4:a:/nomad.slice/" + uid + ".web.scope\n", cgroups{container: container{id: uid, name: "web"}}},
		"nomad v1":         {"3:cpuset:/nomad/shared\n4:a:/nomad/share/" + uid + ".web\n", cgroups{container: container{id: uid, name: "web"}}},
		"nomad and docker": {"3:cpuset:/nomad/reserve\n4:a:/docker/" + idA + "\n", cgroups{container: container{id: idA}}},
		"ecs slices": {
			"4:a:/ecstasks.slice/ecstasks-0123456789abcdef0123456789abcdef.slice/docker-" + idA + ".scope\n",
			cgroups{container: container{id: idA}},
		},
		"ecs ec2":       {"4:a:/ecs/0123456789abcdef0123456789abcdef/" + idA + "\n", cgroups{container: container{id: idA}}},
		"ecs fargate":   {"4:a:/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890\n", cgroups{container: container{id: "0123456789abcdef0123456789abcdef-1234567890"}}},
		"cloud foundry": {"4:a:/system.slice/garden.service/garden/" + uid + "\n", cgroups{container: container{id: uid}}},
		"lxc":           {"4:a:/lxc/web1/init.scope\n", cgroups{container: container{name: "web1"}}},
		"lxc payload":   {"4:a:/lxc.payload.web1/system.slice/cron.service\n", cgroups{container: container{name: "web1"}}},
		"nspawn":        {"4:a:/machine.slice/systemd-nspawn@my\\x2dbox.service/payload\n", cgroups{container: container{name: "my-box"}}},
		"machine":       {"4:a:/machine.slice/machine-box.scope\n", cgroups{container: container{name: "box"}}},
		"pod level":     {"4:a:/kubepods/pod" + uid + "\n", cgroups{}},
		"upper case":    {"4:a:/docker/" + strings.ToUpper(idA) + "\n", cgroups{}},
		"too short":     {"4:a:/docker/" + idA[1:] + "\n", cgroups{}},
		"colon in path": {"0::/a:b/" + idA + "\n", cgroups{container{id: idA}, "/a:b/" + idA}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := parseCgroup([]byte(test.in))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(cgroups{}, container{})); diff != "" {
				t.Errorf("parseCgroup(%q) (-want +got):\n%s", test.in, diff)
			}
		})
	}
}

func TestContainerOfMounts(t *testing.T) {
	t.Parallel()
	line := func(root, point string) string {
		return "812 790 8:1 " + root + " " + point + " rw,relatime - ext4 /dev/sda1 rw\n"
	}
	tests := map[string]struct {
		in   string
		want container
	}{
		"host":          {line("/", "/") + "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", container{}},
		"docker":        {line("/", "/") + line("/var/lib/docker/containers/"+idA+"/hostname", "/etc/hostname"), container{id: idA}},
		"docker on var": {line("/lib/docker/containers/"+idA+"/resolv.conf", "/etc/resolv.conf"), container{id: idA}},
		"docker own fs": {line("/"+idA+"/hosts", "/etc/hosts"), container{id: idA}},
		"podman":        {line("/containers/storage/overlay-containers/"+idA+"/userdata/hostname", "/etc/hostname"), container{id: idA}},
		"containerd": {
			line("/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/"+idB+"/hostname", "/etc/hostname") +
				line("/var/lib/kubelet/pods/"+uid+"/etc-hosts", "/etc/hosts") +
				line("/var/lib/kubelet/pods/"+uid+"/containers/web/1f2e3d4c", "/dev/termination-log"),
			container{id: idB, name: "web", podUID: uid},
		},
		"podman, rootless": {
			line("/containers/overlay-containers/"+idA+"/userdata/.containerenv", "/run/.containerenv") +
				line("/containers/overlay-containers/"+idA+"/userdata/run/secrets", "/run/secrets"),
			container{id: idA},
		},
		"podman, run directory": { // as Podman 4.3 mounts them
			line("/run/vfs-containers/"+idA+"/userdata/hosts", "/etc/hosts") + line("/run/vfs-containers/"+idA+"/userdata/.containerenv", "/run/.containerenv"),
			container{id: idA},
		},
		"docker in docker": { // whose data lie in a volume of the outer one
			line("/var/lib/docker/volumes/"+idB+"/_data/containers/"+idA+"/hostname", "/etc/hostname"), container{id: idA},
		},
		"docker in docker, volumes own fs": {line("/"+idB+"/_data/containers/"+idA+"/hosts", "/etc/hosts"), container{id: idA}},
		"podman, vfs":                      {line("/containers/storage/vfs-containers/"+idA+"/userdata/hosts", "/etc/hosts"), container{id: idA}},
		"cri-dockerd": { // the ID is that of the sandbox
			line("/var/lib/docker/containers/"+idB+"/hostname", "/etc/hostname") +
				line("/var/lib/kubelet/pods/"+uid+"/etc-hosts", "/etc/hosts"),
			container{id: idB, podUID: uid},
		},
		"optional fields": {
			"1 2 0:3 /docker/containers/" + idA + "/hosts /etc/hosts rw shared:3 master:1 - xfs /dev/x rw\n",
			container{id: idA},
		},
		"somebody else's file": {line("/var/lib/docker/containers/"+idA+"/hostname", "/srv/x"), container{}},
		"garbage":              {"x - y\n\n - \n1 2 3 4 5 6\n", container{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := containerOfMounts(strings.NewReader(test.in))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(container{})); diff != "" {
				t.Errorf("containerOfMounts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCgroup2Mount(t *testing.T) {
	t.Parallel()
	in := "30 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
		"31 1 0:2 /sub /somewhere rw - cgroup2 cgroup2 rw\n" +
		"32 1 0:2 / /with\\040space rw - cgroup2 cgroup2 rw\n"
	if got, want := cgroup2Mount([]byte(in)), "/with space"; got != want {
		t.Errorf("cgroup2Mount = %q, want %q", got, want)
	}
}

func FuzzParseCgroup(f *testing.F) {
	f.Add([]byte("0::/kubepods.slice/kubepods-pod" + uidUnderscores + ".slice:cri-containerd:" + idA + "\n"))
	f.Add([]byte("4:a:/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890"))
	f.Add([]byte("1:name=systemd:/lxc/\n:::"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := parseCgroup(in)
		if c.podUID != "" && podUID(c.podUID) == "" {
			t.Errorf("pod UID %q", c.podUID)
		}
		if c.id != "" && len(c.id) < 36 && !isBuild(c.id) {
			t.Errorf("container ID %q", c.id)
		}
	})
}

func FuzzContainerOfMounts(f *testing.F) {
	f.Add("1 2 0:3 /docker/containers/" + idA + "/hosts /etc/hosts rw shared:3 - xfs /dev/x rw\n")
	f.Add("1 2 0:3 /pods/" + uid + "/containers/web/x /dev/termination-log rw - xfs /dev/x rw\n")
	f.Fuzz(func(t *testing.T, in string) {
		c := containerOfMounts(strings.NewReader(in))
		if c.id != "" && !isHex(c.id, 64) {
			t.Errorf("container ID %q", c.id)
		}
	})
}

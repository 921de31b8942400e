// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// apt is this host's apt with lists and packages of its own, for one suite and
// architecture, so that nothing of the host's own state is read or changed.
type apt struct {
	dir, arch string
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// newAPT makes the folders and the source list, which names the host's own mirror.
func newAPT(ctx context.Context, dir, suite, arch string) (*apt, error) {
	a := &apt{dir: dir, arch: arch}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil { //nolint:gosec // packages that all may read
			return nil, err
		}
	}
	uri, err := mirror(ctx)
	if err != nil {
		return nil, err
	}
	signed := ""
	if _, err := os.Stat(keyring); err == nil {
		signed = "[signed-by=" + keyring + "] "
	}
	line := fmt.Sprintf("deb %s%s %s main\n", signed, uri, suite)
	return a, os.WriteFile(filepath.Join(dir, "sources.list"), []byte(line), 0o644) //nolint:gosec // no secret
}

// mirror returns the address that this host's apt has Debian from.
func mirror(ctx context.Context) (string, error) {
	out, err := output(ctx, "", "apt-get", "indextargets", "--format", "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return "", fmt.Errorf("ask apt for its sources: %w", err)
	}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		// Suites such as bookworm-security are on a mirror of their own.
		if len(f) == 4 && f[0] == "Debian" && f[1] == "main" && !strings.Contains(f[2], "-") {
			return f[3], nil
		}
	}
	return "", errors.New("apt of this host has no mirror of Debian: run apt-get update on a Debian host")
}

// run runs a program of apt with this state instead of the host's.
func (a *apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	all := []string{
		"-o", "Dir::Etc::SourceList=" + filepath.Join(a.dir, "sources.list"),
		"-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::Etc::Preferences=/dev/null", "-o", "Dir::Etc::PreferencesParts=/dev/null",
		"-o", "Dir::State::Lists=" + filepath.Join(a.dir, "lists"),
		"-o", "Dir::State::Status=/dev/null",
		"-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"-o", "Acquire::Languages=none", "-o", "Acquire::GzipIndexes=true", "-o", "Acquire::Retries=3",
		"-o", "APT::Architecture=" + a.arch, "-o", "APT::Architectures::=" + a.arch,
		"-o", "APT::Get::List-Cleanup=false",
	}
	return output(ctx, dir, program, append(all, args...)...)
}

// update fetches the list of packages; apt checks its signature.
func (a *apt) update(ctx context.Context) error {
	_, err := a.run(ctx, "", "apt-get", "-qq", "update", "-o", "APT::Update::Error-Mode=any")
	return err
}

// depends returns what the newest version of a package depends on by the names
// that the packages of one kernel have, and its version.
func (a *apt) depends(ctx context.Context, name string) (names []string, version string, err error) {
	out, err := a.run(ctx, "", "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Version":
			version = value
		case "Depends":
			for d := range strings.SplitSeq(value, ", ") {
				d, _, _ = strings.Cut(d, " ")
				for _, prefix := range []string{"linux-image-", "linux-modules-", "linux-binary-"} {
					if strings.HasPrefix(d, prefix) {
						names = append(names, d)
					}
				}
			}
		}
	}
	if version == "" {
		return nil, "", fmt.Errorf("package %s: there is none", name)
	}
	return names, version, nil
}

// download fetches packages, which apt compares with the signed list, and returns
// their files.
func (a *apt) download(ctx context.Context, names []string) ([]string, error) {
	dir, err := os.MkdirTemp(filepath.Join(a.dir, "debs"), "")
	if err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, dir, "apt-get", append([]string{"-qq", "download"}, names...)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}

// output runs a program and returns what it prints; what it complains of is in
// the error.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // programs of the host
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		return "", fmt.Errorf("%s: %w: %.500s", name, err, said)
	}
	return stdout.String(), nil
}

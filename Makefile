# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets.

GO      ?= go
VERSION ?= $(shell support/version.sh version)
COMMIT  ?= $(shell support/version.sh commit)
DATE    ?= $(shell support/version.sh date)
BUILT   := github.com/strobe-profiler/strobe/internal/buildinfo
LDFLAGS := -s -w -X $(BUILT).version=$(VERSION) -X $(BUILT).commit=$(COMMIT) -X $(BUILT).date=$(DATE)
LINT    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run
# Packages whose tests load eBPF programs or sample this host run one after another: they
# use the same CPUs.
ROOT_PKGS := ./tracer ./internal/containers ./support/dockertest ./agent/e2e ./agent/restricted ./agent/reliability ./support/demo
# What takes longest comes first, so that it is not what everything waits for in the end; a
# package that is named twice is tried once. The tests of clickhouse mostly wait for servers,
# those of embedded for the disk: one package more than there are processors is tried at a time.
SLOW_PKGS := ./collectionagent/store/clickhouse ./collectionagent/store/embedded ./collectionagent ./collectionagent/ingest ./reporter
TEST_JOBS  = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PURE_PKGS  = $(SLOW_PKGS) $(shell $(GO) list ./... | grep -v -e '/strobe/tracer$$' -e '/internal/containers$$' -e '/support/dockertest$$' \
	-e '/agent/e2e$$' -e '/agent/restricted$$' -e '/agent/reliability$$' -e '/agent/arm64$$' -e '/support/demo$$')
# Packages whose tests need no kernel, of which those are tried with the race detector that
# own goroutines or locks.
RACE_PKGS := ./libpf/... ./proto/... ./reporter/... ./collector ./collectionagent/... ./internal/... ./agent/internal/... ./agent/reliability/internal/... ./support/hostile ./strobectl/... \
	./tracer/internal/... ./tracer/process/... ./tracer/identity/... ./tracer/symbol/... ./tracer/native/...

.PHONY: help all build collector run test test-race test-root test-collector test-ui test-deps e2e reliability fuzz vuln lint fmt check-fmt generate proto ui docs drift bench bench-store soak-store clean release release-check test-release test-kernels demo demo-images test-kubernetes test-kubernetes-api manifests test-arm64

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

all: build ## same as build

build: ## build bin/agent, bin/collectionagent and bin/strobectl; needs nothing but Go
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./agent ./collectionagent ./strobectl

collector: ## build bin/otelcol-strobe, an OpenTelemetry Collector with the profiler in it
	cd collector/distribution && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o ../../bin/otelcol-strobe .

release: ## make dist/: tarballs, .deb, .rpm, images, SBOM, checksums; VERSION and ARCH (amd64,arm64) may be given
	cd support/release && $(GO) run . -root ../.. -out ../../dist -version '$(VERSION)' -commit '$(COMMIT)' -date '$(DATE)' $(if $(ARCH),-arch '$(ARCH)')

release-check: ## make a release twice, in different places, and compare the bytes (committed files only)
	support/release/check.sh

test-release: ## try the packages: install, boot, upgrade, remove, purge (Debian, as root); make test leaves the emulated boot out, minutes of it without KVM
	cd support/release && $(GO) vet ./... && $(GO) test -timeout 25m $(if $(SKIP),-skip '$(SKIP)') ./...
	$(if $(SKIP),@echo 'left out: $(SKIP); "make test-release" runs it too')

run: build ## build, then profile this host and serve the page (as root)
	@support/run.sh

demo-images: build ## build what the images of docker-compose.yml are made of; LANGUAGES='python node java ruby' selects
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/demo/shop/ ./support/demo/shop
	@support/demo/base.sh

demo: demo-images ## build, then run the demo in containers: docs/demo.md; DEMO passes arguments, such as DEMO='up -d'
	@support/demo/compose.sh $(or $(DEMO),up --build)

test: test-deps drift check-fmt ## install what the tests need, then run all of them
	$(GO) vet ./...
	$(GO) test -p $(TEST_JOBS) -timeout 20m $(PURE_PKGS)
	$(MAKE) test-ui test-race test-root test-collector test-kubernetes test-release SKIP=TestBootDebianPackage

test-race: ## run the tests that need no kernel with the race detector
	packages=$$(GO='$(GO)' support/racepkgs.sh $(RACE_PKGS)) && $(GO) test -p $(TEST_JOBS) -race -timeout 15m -skip 'Crash|^Test(Legacy|Current|Replicas|Protocol|DockerEngine|Containerd)' $(SLOW_PKGS) $$packages

test-root: ## run the tests that sample this host or start servers (as root)
	$(GO) test -p 1 -timeout 40m $(ROOT_PKGS)
	$(GO) test -run Recorded ./agent/arm64

test-collector: ## test the Collector, which is a module of its own (as root)
	for os in darwin windows; do GOOS=$$os $(GO) vet ./collector ./libpf/... ./reporter/... ./strobectl/... || exit 1; done
	cd collector/distribution && $(GO) vet ./... && $(GO) test -timeout 20m ./...

test-kubernetes: ## test the Helm chart and the manifests, which are a module of their own
	cd support/kubernetes && $(GO) vet -tags apiserver ./... && $(GO) test -timeout 10m ./...

test-kubernetes-api: ## give the chart and the manifests to a real API server; KUBE_APISERVER, ETCD and others name the programs: docs/kubernetes.md
	$(if $(and $(KUBE_APISERVER),$(ETCD)),,$(error KUBE_APISERVER and ETCD have to name the programs kube-apiserver and etcd: docs/kubernetes.md))
	cd support/kubernetes && $(foreach p,KUBE_APISERVER ETCD KUBE_CONTROLLER_MANAGER KUBE_SCHEDULER KUBELET HELM KUBECTL,$(p)='$(abspath $($(p)))') $(GO) test -count 1 -timeout 20m -v -tags apiserver -run TestAPIServer .

manifests: ## write the plain manifests for Kubernetes anew from the chart
	cd support/kubernetes && $(GO) test -run TestManifests -update .

test-ui: ## run the tests of the web page
	support/npm.sh test

test-deps: ## install what the tests need (Debian, as root)
	support/test-deps.sh

e2e: ## run the end-to-end tests alone (as root)
	$(GO) test -p 1 -v -timeout 40m ./agent/e2e

fuzz: ## run every fuzz target for FUZZTIME (1m), JOBS (1) at a time; ONLY=REGEX selects, FROM=TARGET resumes
	@support/fuzz.sh -t $(or $(FUZZTIME),1m) -j $(or $(JOBS),1) $(if $(ONLY),-run-only '$(ONLY)') $(if $(FROM),-from '$(FROM)')

vuln: ## look for known vulnerabilities in what is called; needs https://vuln.go.dev
	@GO='$(GO)' support/vuln.sh

reliability: ## try what docs/reliability.md promises, for more than half an hour (as root)
	$(GO) run ./agent/reliability faults
	$(GO) run ./agent/reliability kill
	$(GO) run ./agent/reliability kill -full
	$(GO) run ./agent/reliability outage
	$(GO) run ./agent/reliability disk
	$(GO) run ./agent/reliability fleet -overload 2

test-kernels: ## boot Debian's kernels under qemu, try the agent on each, and write the table of docs/kernels.md; KERNELS=6.1,6.12 selects, QUICK=1 tries less
	support/kerneltest/deps.sh
	$(GO) run ./support/kerneltest -doc docs/kernels.md -jobs $(or $(JOBS),1) $(if $(KERNELS),-kernels $(KERNELS)) $(if $(QUICK),-quick)
	$(if $(KERNELS)$(QUICK),,$(MAKE) test-arm64)

test-arm64: ## record programs with known stacks on an emulated arm64 machine, all of them
	$(GO) test -timeout 90m -v -run TestGuest ./agent/arm64 -all

lint: ## run the linters, in the modules of their own too
	$(LINT)
	cd collector/distribution && $(LINT)
	cd support/release && $(LINT)
	cd support/kubernetes && $(LINT) --build-tags apiserver

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')
	command -v clang-format-19 >/dev/null && clang-format-19 -i support/ebpf/*.c support/ebpf/*.h || true

check-fmt: ## fail if Go code is not formatted
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not formatted:"; echo "$$out"; exit 1; }

generate: ## compile the eBPF programs; needs clang-19 and libbpf-dev
	$(GO) generate ./support/... ./tracer/interpreter/...

proto: ## generate the protocol's Go code; needs protoc
	proto/generate.sh

ui: ## build the web page; needs npm
	support/npm.sh ci --no-audit --no-fund && support/npm.sh run build

docs: ## write the parts of documents that are made from the code
	$(GO) test -run '^TestDocument$$' ./agent ./agent/internal/config ./collectionagent ./strobectl -update

drift: ## regenerate everything that is committed and fail on a difference
	support/drift.sh

bench: ## run the benchmarks and print the table of docs/measurements.md (as root)
	$(GO) test -run '^$$' -bench . -benchmem ./libpf/... ./reporter/... ./collectionagent/... ./tracer/...
	$(GO) run ./agent/bench

bench-store: build ## measure the collection agent on the hour of docs/measurements.md; BENCH passes flags, such as BENCH='-stacks 200000'
	$(GO) run ./collectionagent/bench $(BENCH)

soak-store: build ## put the collection agent under a mixed load for 30 minutes, with a verdict; SOAK passes flags, such as SOAK='-duration 5m'
	$(GO) run ./collectionagent/bench soak $(SOAK)

clean: ## remove what was built
	rm -rf bin dist

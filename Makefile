# Targets are described by `make help`. Go, a C compiler (for the race detector), bash, git and the Go module proxy are
# all that is needed. `make test-slow` needs curl, jq and openssl as well, and skips the runbook's commands without.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := $(CURDIR)/bin
TOOLS := $(BIN)/tools
# The version of Kubernetes that the embedded control plane is of: by default the newest one that is tested, else one
# that has a module in hack/controlplane, such as KUBERNETES=1.31.
KUBERNETES ?=
CONTROLPLANE := $(BIN)/controlplane$(addprefix -,$(KUBERNETES))

CONTROLLER_GEN := $(TOOLS)/controller-gen
GOLANGCI_LINT := $(TOOLS)/golangci-lint
CRD_REF_DOCS := $(TOOLS)/crd-ref-docs
# kubectl brings kustomize along: see docs/decisions.
KUSTOMIZE := $(CONTROLPLANE)/kubectl kustomize

# A control plane of your own, as setup-envtest installs it, is used instead of the embedded one when
# KUBEBUILDER_ASSETS names its folder. `make run` and `make demo` need etcd, kube-apiserver and kubectl
# (LOCAL_BINARIES); tests and benchmarks need kube-controller-manager as well, which setup-envtest does not bring: then
# that one is built.
ifeq ($(strip $(KUBEBUILDER_ASSETS)),)
override KUBEBUILDER_ASSETS := $(CONTROLPLANE)
LOCAL_BINARIES := $(addprefix $(CONTROLPLANE)/,etcd kube-apiserver kubectl)
CONTROLPLANE_BINARIES := $(LOCAL_BINARIES) $(CONTROLPLANE)/kube-controller-manager
else
override KUBEBUILDER_ASSETS := $(abspath $(KUBEBUILDER_ASSETS))
LOCAL_BINARIES :=
CONTROLPLANE_BINARIES := $(if $(wildcard $(KUBEBUILDER_ASSETS)/kube-controller-manager),,$(CONTROLPLANE)/kube-controller-manager)
endif
export KUBEBUILDER_ASSETS

# Packages tested at the same time, and how long one of them may take. Several start a control plane each.
TEST_PARALLEL ?= 2
TEST_TIMEOUT ?= 30m
TEST_PACKAGES ?= ./...
# Modules of their own, because what their tests use is large: Helm, Prometheus, and what writes container images.
TEST_MODULES ?= hack/image test/chart test/monitoring

# The port `make run` listens on for notifications, on 127.0.0.1, plain HTTP.
CALLBACK_PORT ?= 18443
export CALLBACK_PORT

##@ General

# A description is wrapped at 100 columns, below itself.
.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make <target>\n"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-zA-Z_0-9-]+:.*## / { \
			line = sprintf("  %-15s", $$1); n = split($$2, words, " "); \
			for (i = 1; i <= n; i++) { \
				if (length(line) + 1 + length(words[i]) > 100) {print line; line = sprintf("%-17s", "")} \
				line = line " " words[i] \
			} \
			print line \
		}' $(MAKEFILE_LIST)

##@ Use

# Flags for the manager, for example: make run RUN_ARGS="--applications-file=applications.yaml"
RUN_ARGS ?=

.PHONY: run
run: $(LOCAL_BINARIES) build ## Start a control plane and the operator, and keep them up until Ctrl-C (CALLBACK_PORT=18443, RUN_ARGS=flags of the manager).
	@exec $(BIN)/local-run $(RUN_ARGS)

.PHONY: demo
demo: $(LOCAL_BINARIES) build ## Build what is missing, start a control plane and the operator, upgrade 1,000 devices, check every count, stop.
	@exec $(BIN)/local-demo

.PHONY: demo-platform
demo-platform: $(LOCAL_BINARIES) build ## Start a control plane, the operator and a platform, connect an application, upgrade 1,000 devices of which every tenth push is lost, have the tasks of two waves created, kill the operator meanwhile, check every count, stop: some 20 minutes, as each new leader waits for six before it has a task created.
	@go build -o $(BIN)/demo-platform ./hack/demoplatform
	@exec $(BIN)/demo-platform

.PHONY: simulator
simulator: ## Build bin/simulator, which pushes notifications as the platform does.
	go build -o $(BIN)/simulator ./hack/simulator

##@ Develop

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the DeepCopy methods.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs and the roles.
	@rm -f config/crd/bases/*.yaml
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=generated paths="{./controllers/...,./internal/store/...}" output:rbac:artifacts:config=config/rbac/controllers
	$(CONTROLLER_GEN) rbac:roleName=webhook paths=./webhook/... output:rbac:artifacts:config=config/rbac/webhook

.PHONY: docs
docs: $(CRD_REF_DOCS) ## Generate the references in docs.
	$(CRD_REF_DOCS) --source-path=api --config=hack/docs/crd-ref-docs.yaml --templates-dir=hack/docs/templates \
		--renderer=markdown --output-path=docs/api.md --log-level=ERROR
	go test -count=1 ./test/metricsdoc -update

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the code.
	$(GOLANGCI_LINT) fmt ./...

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters.
	$(GOLANGCI_LINT) run ./...

# What manager --version, its log and the metric fwupgrade_build_info say; also for docker build --build-arg VERSION=….
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: plugin
plugin: ## Build bin/kubectl-fwupgrade, the kubectl plugin, and the script by which kubectl completes its arguments.
	@mkdir -p $(BIN)
	go build -ldflags "-X main.linkedVersion=$(VERSION)" -o $(BIN)/kubectl-fwupgrade ./cmd/kubectl-fwupgrade
	@install -m 0755 cmd/kubectl-fwupgrade/kubectl_complete-fwupgrade $(BIN)/kubectl_complete-fwupgrade

.PHONY: building
building:
	@echo "Building the operator and what belongs to it: some two minutes the first time, on two cores, then seconds"

.PHONY: build
build: building plugin ## Build the binaries: the manager, the simulator and what run and demo start.
	@mkdir -p $(BIN)
	go build -ldflags "-X main.linkedVersion=$(VERSION)" -o $(BIN)/manager ./cmd/manager
	go build -o $(BIN)/simulator ./hack/simulator
	go build -o $(BIN)/local-run ./hack/run
	go build -o $(BIN)/local-demo ./hack/demo

# What the tests, and the processes that they start, print: a file each.
TEST_OUTPUT := $(BIN)/test-output

.PHONY: test
test: $(CONTROLPLANE_BINARIES) build ## Run all tests in random order, against a real API server; the operator's and the plugin's with the race detector. No secret may be in what they print.
	@rm -rf $(TEST_OUTPUT) && mkdir -p $(TEST_OUTPUT)
	@export FWUPGRADE_LOG_DIR=$(TEST_OUTPUT); code=0; \
	(set -x; go test -race -shuffle=on -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) $(TEST_PACKAGES)) 2>&1 \
		| tee $(TEST_OUTPUT)/test.log || code=1; \
	for module in $(TEST_MODULES); do \
		(set -x; go test -C $$module -shuffle=on -timeout $(TEST_TIMEOUT) ./...) 2>&1 \
			| tee $(TEST_OUTPUT)/test-$${module//\//-}.log || code=1; \
	done; \
	go run ./hack/secretcheck $(TEST_OUTPUT) || code=1; \
	exit $$code

.PHONY: test-slow
test-slow: $(CONTROLPLANE_BINARIES) build ## Attack the installed webhook, and run what the runbook says, some 15 minutes.
	@rm -rf $(TEST_OUTPUT) && mkdir -p $(TEST_OUTPUT)
	@export FWUPGRADE_LOG_DIR=$(TEST_OUTPUT) FWUPGRADE_SLOW_TESTS=1; code=0; \
	(set -x; go test -count=1 -p 1 -timeout 40m ./test/hostile ./test/runbook) 2>&1 | tee $(TEST_OUTPUT)/test.log || code=1; \
	go run ./hack/secretcheck $(TEST_OUTPUT) || code=1; \
	exit $$code

# Flags of the tests: `make e2e-node NODE_ARGS="-rate=200 -results=20000"` on a busy machine. NODE_TESTS are those to
# run, such as 'TestNode/(InstallByChart|Memory)': all that follow need InstallByChart. NODE_LOGS=folder keeps the logs
# of the node's processes.
NODE_ARGS ?=
NODE_TESTS ?= TestNode
NODE_LOGS ?=
NODE := $(BIN)/node
# The image in docs/install.md.
NODE_IMAGE := registry.example.com/fwupgrade-operator:v0.1.0

.PHONY: e2e-node
e2e-node: ## Install, roll, drain, kill and measure the operator on a real node, some 15 minutes; needs root on Linux, else it is skipped.
	@[[ -z "$(KUBERNETES)" ]] || { echo "e2e-node: the node is of the newest Kubernetes alone: leave KUBERNETES out" >&2; exit 1; }
	@if hack/node/missing.sh; then $(MAKE) --no-print-directory run-e2e-node; else echo "e2e-node: SKIPPED"; fi

.PHONY: run-e2e-node
run-e2e-node: $(CONTROLPLANE_BINARIES) $(addprefix $(NODE)/,kubelet kube-proxy kube-scheduler pause.tar) $(HELM)
	@$(MAKE) --no-print-directory image IMAGE=$(NODE_IMAGE) PLATFORMS=linux/$$(go env GOARCH) IMAGE_ARCHIVE=$(NODE)/image.tar
	@go run ./hack/dist --image=$(NODE_IMAGE) --install=$(NODE)/install.yaml --chart=
	go test -c -o $(NODE)/e2e.test ./test/node
	@cd test/node && FWUPGRADE_NODE_LOGS=$(abspath $(NODE_LOGS)) ../../hack/node/run.sh $(NODE)/e2e.test \
		-test.v -test.timeout=40m -test.run='$(NODE_TESTS)' $(NODE_ARGS)

$(NODE)/pause.tar: test/node/pause/main.go
	@mkdir -p $(NODE)
	@go build -C hack/image -o $(BIN)/build-image .
	@$(BIN)/build-image --package=./test/node/pause --image=localhost/pause:e2e --platforms=linux/$$(go env GOARCH) \
		--out=$@ --sbom=$(NODE)/pause.spdx.json

# The oldest Kubernetes that the manuals name, and the packages whose tests meet an API server; but for internal/cli,
# which compares the plugin with the flags of today's kubectl.
OLDEST_KUBERNETES := 1.31
OLDEST_PACKAGES := $(addprefix ./,cmd/manager controllers hack/local internal/store webhook) \
	$(addprefix ./test/,config crd e2e gitops)

.PHONY: e2e-oldest
e2e-oldest: ## Run the tests that meet an API server against the oldest Kubernetes that the manuals name, which is built first.
	@KUBEBUILDER_ASSETS= $(MAKE) --no-print-directory test KUBERNETES=$(OLDEST_KUBERNETES) \
		TEST_PACKAGES="$(OLDEST_PACKAGES)" TEST_MODULES=

# The revision to come from, as git names it.
FROM ?= HEAD~1

.PHONY: e2e-upgrade
e2e-upgrade: $(CONTROLPLANE_BINARIES) build ## Upgrade the operator under load from another commit to this one, back, and forward again (FROM=HEAD~1).
	FROM=$(FROM) go test -count=1 -v -timeout $(TEST_TIMEOUT) ./test/upgrade

# What is measured: see `bin/bench --help`. For example: make bench BENCH_ARGS="--connections=64 --other-rounds=0".
BENCH_ARGS ?=
# A folder that gets the reports and the plots, such as docs/performance; by default there are reports alone, in bin.
BENCH_PLOTS ?=
BENCH_FOLDER := $(or $(BENCH_PLOTS),$(BIN))

.PHONY: bench
bench: $(CONTROLPLANE_BINARIES) build build-bench ## Measure stored results a second next to other ways of storing them, some 12 minutes (BENCH_ARGS=…, BENCH_PLOTS=folder).
	@$(BIN)/bench --json=$(BENCH_FOLDER)/bench.json $(BENCH_ARGS)
ifneq ($(strip $(BENCH_PLOTS)),)
	@$(MAKE) bench-plots
endif

.PHONY: build-bench
build-bench:
	go build -o $(BIN)/bench ./test/load
	@mkdir -p $(BENCH_FOLDER)

# Draws what `make bench` and, where there is one, `make bench-campaign` reported there.
.PHONY: bench-plots
bench-plots: ## Draw the reports in a folder (BENCH_PLOTS=folder).
	go build -C hack/plot -o $(BIN)/plot .
	@$(BIN)/plot --report=$(BENCH_FOLDER)/bench.json --out=$(BENCH_FOLDER) \
		$(addprefix --campaign=,$(wildcard $(BENCH_FOLDER)/campaign.json))

# With a restart of the controllers: make bench-campaign BENCH_ARGS="--restart --json=bin/campaign-restart.json"
.PHONY: bench-campaign
bench-campaign: $(CONTROLPLANE_BINARIES) build build-bench ## Measure 4,000 upgrades at once at the platform's rate, some 4 minutes (BENCH_ARGS=…, BENCH_PLOTS=folder).
	@exec $(BIN)/bench campaign --json=$(BENCH_FOLDER)/campaign.json $(BENCH_ARGS)

.PHONY: bench-status
bench-status: $(CONTROLPLANE_BINARIES) build-bench ## Measure what a write of a status costs the API server, some 2 minutes (BENCH_ARGS=…, BENCH_PLOTS=folder).
	@exec $(BIN)/bench status-cost --json=$(BENCH_FOLDER)/status-cost.json $(BENCH_ARGS)

# For example: make bench-scale BENCH_ARGS="--parts=trickle --trickle-seconds=900"; see `bin/bench scale --help`.
.PHONY: bench-scale
bench-scale: $(CONTROLPLANE_BINARIES) build build-bench ## Measure what many results, many tasks and single results cost, some 15 minutes (BENCH_ARGS=…, BENCH_PLOTS=folder).
	@exec $(BIN)/bench scale --json=$(BENCH_FOLDER)/scale.json $(BENCH_ARGS)

# How long epochs are begun, and what they follow from: a new seed by default. See make chaos DURATION=1h SEED=7
DURATION ?= 2m
SEED ?= 0
# With a platform on which tasks from Git are created; an epoch takes longer then, so that what was lost is found in it.
PLATFORM ?=
# Further flags: see `bin/chaos --help`.
CHAOS_ARGS ?=

.PHONY: chaos
chaos: $(CONTROLPLANE_BINARIES) build-chaos ## Break everything at random while devices report, and check every count and Event, some 5 minutes (DURATION=2m, SEED=…, PLATFORM=1 with created tasks, CHAOS_ARGS=…).
	@exec $(BIN)/chaos --manager=$(BIN)/manager-chaos --duration=$(DURATION) --seed=$(SEED) $(if $(PLATFORM),--platform --epoch=2m --fault-every=15s) $(CHAOS_ARGS)

.PHONY: build-chaos
build-chaos:
	@mkdir -p $(BIN)
	@test/chaos/build.sh $(BIN)/manager-chaos
	go build -o $(BIN)/chaos ./test/chaos

.PHONY: verify
verify: $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(CONTROLPLANE)/kubectl ## Check that what is committed is generated, formatted, linted and tidy.
	@hack/verify.sh

##@ Package

# The image's name and tag, in bin/image.tar and in dist/install.yaml; with PUSH=1 it is pushed to the registry in it.
# The tag of what is released is its version, as the chart's is.
IMAGE ?= fwupgrade-operator:$(if $(filter release-files,$(MAKECMDGOALS)),$(VERSION),latest)
PLATFORMS ?= linux/amd64,linux/arm64
PUSH ?=
IMAGE_ARCHIVE := $(BIN)/image.tar
# The manifest that `make dist` writes; the one in dist has the default IMAGE and is committed.
INSTALL ?= dist/install.yaml
# The address of the repository, for a label of the image and for the plugin's manifest for krew.
SOURCE ?=
# The time of everything that is packaged: the commit's, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
export SOURCE_DATE_EPOCH
HELM := $(TOOLS)/helm

.PHONY: image
image: ## Build the image without Docker: bin/image.tar, for all PLATFORMS; PUSH=1 pushes it to IMAGE.
	@mkdir -p $(BIN)
	go build -C hack/image -o $(BIN)/build-image .
	@$(BIN)/build-image --image=$(IMAGE) --platforms=$(PLATFORMS) --version=$(VERSION) \
		--revision=$(shell git rev-parse HEAD 2>/dev/null) --source=$(SOURCE) \
		--out=$(IMAGE_ARCHIVE) --sbom=$(IMAGE_ARCHIVE:.tar=.spdx.json) $(if $(PUSH),--push)

.PHONY: dist
dist: $(CONTROLPLANE)/kubectl ## Write the manifest to apply, for IMAGE, to INSTALL=dist/install.yaml, and the chart's generated templates.
	go run ./hack/dist --image=$(IMAGE) --install=$(INSTALL)

.PHONY: release-files
release-files: $(CONTROLPLANE)/kubectl $(HELM) ## Make everything that a release has, in bin/release (VERSION=v0.1.0, IMAGE=…, SOURCE=URL).
	@[[ $(IMAGE) == *:$(VERSION) ]] || { echo "IMAGE=$(IMAGE) has another tag than VERSION=$(VERSION)" >&2; exit 1; }
	@rm -rf $(BIN)/release && mkdir -p $(BIN)/release
	@$(MAKE) --no-print-directory image IMAGE=$(IMAGE)
	@cp $(BIN)/image.tar $(BIN)/release/fwupgrade-operator-$(VERSION).tar
	@cp $(BIN)/image.spdx.json $(BIN)/release/fwupgrade-operator-$(VERSION).spdx.json
	go run ./hack/dist --image=$(IMAGE) --install=$(BIN)/release/install.yaml --chart=
	@VERSION=$(VERSION) IMAGE=$(IMAGE) SOURCE=$(SOURCE) hack/release.sh

$(HELM): test/chart/go.mod test/chart/go.sum
	go build -C test/chart -o $@ helm.sh/helm/v4/cmd/helm
	@touch $@

##@ Embedded control plane and tools

.PHONY: controlplane
controlplane: $(addprefix $(CONTROLPLANE)/,etcd kube-apiserver kubectl kube-controller-manager) ## Build etcd, kube-apiserver, kubectl and kube-controller-manager: ten to twenty minutes the first time, on two cores.

# Whoever changes hack/controlplane/go.mod changes that of hack/node too. What the binaries report is what they are
# built of: for example v1.37.2.
CONTROLPLANE_FOLDER := hack/controlplane$(addprefix /,$(KUBERNETES))
CONTROLPLANE_MODULE := $(CONTROLPLANE_FOLDER)/go.mod $(CONTROLPLANE_FOLDER)/go.sum
KUBERNETES_VERSION := $(shell awk '$$1 == "k8s.io/kubernetes" {print $$2}' $(CONTROLPLANE_FOLDER)/go.mod)
VERSION_PACKAGE := k8s.io/component-base/version
KUBERNETES_LDFLAGS := -s -w -X $(VERSION_PACKAGE).gitVersion=$(KUBERNETES_VERSION) -X $(VERSION_PACKAGE).gitMajor=1 \
	-X $(VERSION_PACKAGE).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES_VERSION)))
BUILD_CONTROLPLANE := hack/controlplane/build.sh

# How many binaries the goal needs.
OF := 4
run demo: OF := 3

$(CONTROLPLANE)/etcd: $(CONTROLPLANE_MODULE)
	@$(BUILD_CONTROLPLANE) $@ go.etcd.io/etcd/server/v3 1/$(OF) "about 2 minutes" "-s -w" $(KUBERNETES)

$(CONTROLPLANE)/kube-apiserver: $(CONTROLPLANE_MODULE)
	@$(BUILD_CONTROLPLANE) $@ k8s.io/kubernetes/cmd/kube-apiserver 2/$(OF) "about 8 minutes" "$(KUBERNETES_LDFLAGS)" $(KUBERNETES)

$(CONTROLPLANE)/kubectl: $(CONTROLPLANE_MODULE)
	@$(BUILD_CONTROLPLANE) $@ k8s.io/kubernetes/cmd/kubectl 3/$(OF) "about 2 minutes" "$(KUBERNETES_LDFLAGS)" $(KUBERNETES)

$(CONTROLPLANE)/kube-controller-manager: $(CONTROLPLANE_MODULE)
	@$(BUILD_CONTROLPLANE) $@ k8s.io/kubernetes/cmd/kube-controller-manager 4/$(OF) "about 6 minutes" "$(KUBERNETES_LDFLAGS)" $(KUBERNETES)

# What a node has beside the control plane, of the same version: for `make e2e-node`.
NODE_BINARIES := $(addprefix $(NODE)/,kubelet kube-proxy kube-scheduler)
$(NODE_BINARIES): hack/node/go.mod hack/node/go.sum
	@echo "Building $(@F): some 3 minutes on two cores the first time"
	@go build -C hack/node -trimpath -ldflags "$(KUBERNETES_LDFLAGS)" -o $@ k8s.io/kubernetes/cmd/$(@F)
	@touch $@

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	go build -C hack/tools -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen
	@touch $@

$(GOLANGCI_LINT): hack/tools/go.mod hack/tools/go.sum
	go build -C hack/tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(CRD_REF_DOCS): hack/tools/go.mod hack/tools/go.sum
	go build -C hack/tools -o $@ github.com/elastic/crd-ref-docs
	@touch $@

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(CRD_REF_DOCS) ## Build the tools.

.PHONY: clean
clean: ## Remove what was built, except the control plane and the tools.
	find $(BIN) -mindepth 1 -maxdepth 1 ! -name controlplane ! -name tools -exec rm -rf {} + 2>/dev/null || true

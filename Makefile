# Targets are described by `make help`. Go, a C compiler (for the race detector), bash, git and the Go module proxy are
# all that is needed.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := $(CURDIR)/bin
TOOLS := $(BIN)/tools
CONTROLPLANE := $(BIN)/controlplane

CONTROLLER_GEN := $(TOOLS)/controller-gen
GOLANGCI_LINT := $(TOOLS)/golangci-lint
# kubectl brings kustomize along: see docs/decisions.
KUSTOMIZE := $(CONTROLPLANE)/kubectl kustomize

# A control plane of your own, as setup-envtest installs it, is used instead of the embedded one when
# KUBEBUILDER_ASSETS names its folder; then none is built for the tests.
ifeq ($(strip $(KUBEBUILDER_ASSETS)),)
override KUBEBUILDER_ASSETS := $(CONTROLPLANE)
CONTROLPLANE_BINARIES := $(addprefix $(CONTROLPLANE)/,etcd kube-apiserver kube-controller-manager kubectl)
else
override KUBEBUILDER_ASSETS := $(abspath $(KUBEBUILDER_ASSETS))
CONTROLPLANE_BINARIES :=
endif
export KUBEBUILDER_ASSETS

# Packages tested at the same time, and how long one of them may take. Several start a control plane each.
TEST_PARALLEL ?= 2
TEST_TIMEOUT ?= 20m
TEST_PACKAGES ?= ./...

# The port `make run` listens on for notifications, on 127.0.0.1, plain HTTP.
CALLBACK_PORT ?= 18443
export CALLBACK_PORT

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make <target>\n"} \
		/^[a-zA-Z_0-9-]+:.*?##/ {printf "  %-14s %s\n", $$1, $$2} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)}' $(MAKEFILE_LIST)

##@ Use

.PHONY: run
run: $(CONTROLPLANE_BINARIES) build ## Start control plane and operator, and stay up until interrupted (CALLBACK_PORT=18443).
	@exec $(BIN)/local-run

.PHONY: demo
demo: $(CONTROLPLANE_BINARIES) build ## Show an upgrade of 1,000 devices from beginning to end, and check every count.
	@exec $(BIN)/local-demo

.PHONY: simulator
simulator: ## Build bin/simulator, which pushes notifications as the platform does.
	go build -o $(BIN)/simulator ./hack/simulator

##@ Develop

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the DeepCopy methods.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs and the roles.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=generated paths="{./controllers/...,./internal/store/...}" output:rbac:artifacts:config=config/rbac/controllers
	$(CONTROLLER_GEN) rbac:roleName=webhook paths=./webhook/... output:rbac:artifacts:config=config/rbac/webhook

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

.PHONY: build
build: ## Build the binaries: the manager, the simulator and what run and demo start.
	@mkdir -p $(BIN)
	go build -ldflags "-X main.linkedVersion=$(VERSION)" -o $(BIN)/manager ./cmd/manager
	go build -o $(BIN)/simulator ./hack/simulator
	go build -o $(BIN)/local-run ./hack/run
	go build -o $(BIN)/local-demo ./hack/demo

.PHONY: test
test: $(CONTROLPLANE_BINARIES) build ## Run all tests, with the race detector, in random order, against a real API server.
	go test -race -shuffle=on -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) $(TEST_PACKAGES)

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

.PHONY: verify
verify: $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(CONTROLPLANE)/kubectl ## Check that what is committed is generated, formatted, linted and tidy.
	@hack/verify.sh

##@ Embedded control plane and tools

.PHONY: controlplane
controlplane: $(addprefix $(CONTROLPLANE)/,etcd kube-apiserver kube-controller-manager kubectl) ## Build etcd, kube-apiserver, kube-controller-manager and kubectl (ten to twenty minutes the first time, on two cores).

# The version that the binaries report. Whoever changes it changes hack/controlplane/go.mod too.
KUBERNETES_VERSION := 1.37.2
VERSION_PACKAGE := k8s.io/component-base/version
KUBERNETES_LDFLAGS := -s -w -X $(VERSION_PACKAGE).gitVersion=v$(KUBERNETES_VERSION) -X $(VERSION_PACKAGE).gitMajor=1 -X $(VERSION_PACKAGE).gitMinor=37
CONTROLPLANE_MODULE := hack/controlplane/go.mod hack/controlplane/go.sum

# `touch`, because go build leaves a binary alone that is right already, and make would come back each time.
$(addprefix $(CONTROLPLANE)/,kube-apiserver kube-controller-manager kubectl): $(CONTROLPLANE)/%: $(CONTROLPLANE_MODULE)
	go build -C hack/controlplane -trimpath -ldflags "$(KUBERNETES_LDFLAGS)" -o $@ k8s.io/kubernetes/cmd/$*
	@touch $@

$(CONTROLPLANE)/etcd: $(CONTROLPLANE_MODULE)
	go build -C hack/controlplane -trimpath -ldflags "-s -w" -o $@ go.etcd.io/etcd/server/v3
	@touch $@

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	go build -C hack/tools -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen
	@touch $@

$(GOLANGCI_LINT): hack/tools/go.mod hack/tools/go.sum
	go build -C hack/tools -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) ## Build the tools.

.PHONY: clean
clean: ## Remove what was built, except the control plane and the tools.
	find $(BIN) -mindepth 1 -maxdepth 1 ! -name controlplane ! -name tools -exec rm -rf {} + 2>/dev/null || true

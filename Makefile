# SPDX-License-Identifier: Apache-2.0
# "make help" explains every target.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin
LDFLAGS := -s -w -X main.version=$(VERSION)

# Programs, and the sample workloads of the demo and the end-to-end tests.
PROGRAMS := $(patsubst %/main.go,%,$(wildcard */cmd/*/main.go))
SAMPLES  := tools/images/hello-server tools/images/hello-client tools/images/console

# What test-chaos does: which faults, and how many.
SEED ?= 1
FAULTS ?= 200
# How old the dumps are at least that it restores at the end.
DUMP_AGE ?= 10m

# How long fuzz goes on.
FUZZTIME ?= 60s

# How many packets hostile throws.
PACKETS ?= 1000000

# Packages whose tests share what the machine has once: network namespaces, BPF, cgroups. They run one after the other.
ROOT_PACKAGES := ./bpf/... ./dataplane/... ./nodeengine/... ./tools/oaknet/... ./tools/bench/lab ./tools/bench/trial ./tools/e2e/... ./tools/chaos/... ./tools/walk/... ./tools/docs/operations

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

export CGO_ENABLED := 0
# For builds and tests alike, so that they share what is compiled.
export GOFLAGS := $(shell go env GOFLAGS 2>/dev/null) -trimpath

##@ Build

.PHONY: build
build: ## build all programs into bin/, the sample workloads into bin/images/
	@mkdir -p $(BIN)
	@echo "build $(notdir $(PROGRAMS))"
	@go build -ldflags "$(LDFLAGS)" -o $(BIN)/ $(addprefix ./,$(PROGRAMS))
	@for s in $(SAMPLES); do \
		go build -ldflags "$(LDFLAGS)" -o $(BIN)/images/$${s##*/}/ ./$$s; \
	done

.PHONY: generate
generate: deps ## make everything that is generated anew: BPF objects and their Go bindings, the programs' references
	go generate ./...

.PHONY: images
images: ## build container images of all programs with docker; BUILD_IMAGE=… to build them in, anything with Go and CA certificates
	@for p in root-orchestrator cluster-orchestrator NodeEngine NetManager oak; do \
		tag=oakestra/$$(echo $$p | tr A-Z a-z):$(VERSION); echo "image $$tag"; \
		DOCKER_BUILDKIT=1 docker build -q --build-arg VERSION=$(VERSION) $(if $(BUILD_IMAGE),--build-arg BUILD_IMAGE=$(BUILD_IMAGE)) --target $$p \
			-t $$tag -t $${tag%:*}:latest .; \
	done

.PHONY: release
release: ## build what users download into dist/: archives, Debian packages, lists of contents and sums, the same from the same commit; VERSION=v1.0.0, ARCHS=amd64
	go run ./tools/cmd/oak-release --release $(VERSION) $(addprefix --arch ,$(ARCHS))

##@ Test

.PHONY: test
test: test-unit test-root ## run all tests; needs root

.PHONY: test-unit
test-unit: deps ## run the tests of pure logic, of stores on a real Postgres, of tiers with a real broker
	go test $$(go list ./... | grep -v -E '^[^/]+/[^/]+/[^/]+/(bpf|dataplane|nodeengine|tools/oaknet|tools/e2e|tools/chaos|tools/walk|tools/docs/operations|tools/bench/lab|tools/bench/trial)(/|$$)')

.PHONY: test-root
test-root: deps build ## run the tests of BPF programs, datapath, containers, and end to end on the testbed
	go test -p 1 -timeout 30m $(ROOT_PACKAGES)

.PHONY: fuzz
fuzz: deps ## play packets on the BPF programs and on a model of them, for FUZZTIME, and compare all that comes out; needs root
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	if ! go test -run '^$$' -fuzz '^FuzzPrograms$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 4x ./bpf/model | tee $$log; then \
		grep -q '^    context deadline exceeded$$' $$log && ! grep -q -i -e 'failing input' -e 'panic' $$log || exit 1; \
		echo "fuzz: the time was up in the middle of a packet, which Go before 1.27 takes for a failure (golang/go#75804); no input has failed"; \
	fi

.PHONY: hostile
hostile: deps ## throw PACKETS mutated packets at a worker while a connection goes through it; needs root
	OAK_HOSTILE=$(PACKETS) go test -count=1 -run '^TestHostileFlood$$' -v ./dataplane/datapath

.PHONY: test-chaos
test-chaos: deps build ## do FAULTS random faults, those of SEED, to two clusters that serve, then kill parts under load; WITHIN=30m ends it earlier; goes on where it broke off
	OAK_CHAOS_WITHIN=$(WITHIN) OAK_CHAOS_DUMP_AGE=$(DUMP_AGE) OAK_CHAOS_SEED=$(SEED) OAK_CHAOS_FAULTS=$(FAULTS) go test -count=1 -timeout 12h -run '^TestLongRun$$' -v ./tools/chaos
	OAK_CRASH_FOR=60s go test -count=1 -timeout 5m -run '^TestPostgresCrashesAgainAndAgain$$' -v ./orchestrators/root
	OAK_RESTARTS=all go test -count=1 -timeout 15m -run '^TestRestarts$$' ./tools/e2e
	go test -count=1 -timeout 5m -run '^TestTenThousandFlowsOutliveAKill$$' ./dataplane/agent

.PHONY: test-overrides
test-overrides: deps build ## start each override of the compositions with Docker, by 1.29 and by the docker-compose that OAK_COMPOSE_V2 names; needs root
	OAK_WALK_OVERRIDES=1 go test -count=1 -timeout 60m -run '^TestOverrides$$' -v ./tools/walk

.PHONY: test-walk
test-walk: deps build ## walk the getting-started pages word for word, with Docker, on devices that are namespaces; PUBLISH=1 writes the seconds into README.md
	OAK_WALK_PUBLISH=$(PUBLISH) go test -count=1 -timeout 20m -v ./tools/walk/...

.PHONY: test-install
test-install: deps ## install and remove everything on a whole Debian under systemd, which is made the first time; needs root
	OAK_TEST_INSTALL=1 go test -count=1 -timeout 20m -run '^(TestOneCommandMakesAMachineOfIt|TestPackages)$$' -v ./tools/release

.PHONY: test-kernels
test-kernels: ## run the tests of BPF programs and datapath on Debian's kernels, amd64 and arm64, under qemu; KERNELS=6.1 runs one
	go run ./tools/cmd/oak-kernels --log-dir dist/kernels $(addprefix --kernel ,$(KERNELS))

.PHONY: bench-dataplane
bench-dataplane: deps build ## measure the dataplane beside its alternatives, up to an hour; QUICK=1, ONLY=oak,nft,udp, ROUNDS=64, PUBLISH=1; goes on where it broke off
ifdef QUICK
	@$(BIN)/oak-bench quick
else
	@$(BIN)/oak-bench run $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(GROWTH_ROUNDS),--growth-rounds $(GROWTH_ROUNDS)) $(if $(PUBLISH),--publish tools/bench)
endif

.PHONY: bench-control
bench-control: deps build ## measure the control plane with hollow workers, 35 minutes; ONLY=crowd,idle keeps to parts; goes on where it broke off
	@$(BIN)/oak-sim bench $(if $(ONLY),--only $(ONLY)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(STABLE),--stable $(STABLE))

.PHONY: lint
lint: ## run gofmt, go vet and golangci-lint
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "gofmt: run gofmt -w on:" $$files; exit 1; fi
	go vet ./...
	go run $(GOLANGCI) run ./...

##@ Try

.PHONY: up
up: deps build ## start a testbed with one root, one cluster and two workers, and leave it running
	@$(BIN)/oak-testbed up

.PHONY: down
down: ## take the testbed down and remove whatever it, or one that broke off, has left
	@[ -x $(BIN)/oak-testbed ] || $(MAKE) --no-print-directory build
	@$(BIN)/oak-testbed down

.PHONY: demo
demo: deps build ## from nothing to an application that answers over the eBPF overlay, shown step by step
	@$(BIN)/oak-testbed demo

##@ Care

.PHONY: deps
deps: ## install the system packages that the others need; INSTALL=no only checks
	@tools/install/deps.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN) dist

.PHONY: help
help: ## explain the targets
	@awk 'BEGIN { FS = ":.*## "; print "make TARGET" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

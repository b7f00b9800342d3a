# What people do with this repository. Every target sets up what it needs; `make help` lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
CARGO ?= cargo
# Arguments of `make demo`, `make dev`, `make bench` and, for the runner, of `make test`: make test ARGS='-p mcx-aka'
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Walk a user through the migration between two systems, and say whether it worked
	@scripts/setup-tools build
	$(CARGO) run --locked --quiet --bin crossband -- demo $(ARGS)

.PHONY: dev
dev: ## Run two federated systems until interrupted
	@scripts/setup-tools build
	$(CARGO) run --locked --quiet --bin crossband -- dev $(ARGS)

.PHONY: test
test: ## Run every test, the chart's too, on a Postgres and a Redis started for the purpose
	@scripts/setup-tools build test
	@$(if $(ARGS),,$(MAKE) helm-check)
	@scripts/with-services scripts/run-tests $(ARGS)

.PHONY: lint
lint: ## Check format, lints, protos, scripts
	@scripts/setup-tools build lint
	$(CARGO) fmt --all --check
	@scripts/check-contract
	@scripts/check-sources
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: helm-check
helm-check: ## Check the Helm chart without a cluster; UPDATE_GOLDENS=1 takes over what it renders
	@scripts/setup-tools helm
	@scripts/check-chart

.PHONY: bench
bench: ## Measure beside bare gRPC and bare Postgres; the log goes to target/bench.log; ARGS='--only fan-out': a part
	@scripts/setup-tools build test
	$(CARGO) build --locked --release --bin crossband --bin crossband-bench
	@ulimit -n "$$(ulimit -Hn)"; scripts/with-services target/release/crossband-bench $(ARGS) 2>target/bench.log || { tail target/bench.log >&2; exit 1; }

.PHONY: build
build: ## Build the program for production: target/release/crossband
	@scripts/setup-tools build
	$(CARGO) build --locked --release --bin crossband

.PHONY: image
image: build ## Make the container image localhost/crossband from scratch, and prove what it promises
	@scripts/setup-tools image
	@scripts/make-image
	@scripts/check-image

.PHONY: cluster-test
cluster-test: ## Test two systems on the cluster of KUBECONFIG; tests/cluster/suite.py lists the settings
	@scripts/setup-tools helm test cluster
	@.tools/cluster/bin/python -B tests/cluster/suite.py $(ARGS)

.PHONY: kind-up
kind-up: ## Start a kind cluster and load the image into it, and another to upgrade to
	@scripts/setup-tools helm
	@scripts/kind up

.PHONY: kind-test
kind-test: ## Test two systems on the kind cluster, with traces, policies and an upgrade to another image
	@scripts/kind test

.PHONY: kind-down
kind-down: ## Remove the kind cluster
	@scripts/kind down

.PHONY: sbom
sbom: ## List what is in the image, as CycloneDX: target/crossband.cdx.json
	@scripts/setup-tools build image
	@scripts/make-sbom target/crossband.cdx.json

.PHONY: doc
doc: ## Build the documentation of the crates: target/doc
	@scripts/setup-tools build
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

.PHONY: fmt
fmt: ## Format the sources
	$(CARGO) fmt --all

.PHONY: clean
clean: ## Remove what was built and installed here
	$(CARGO) clean
	rm -rf .tools .crossband

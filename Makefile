# The only entry: `make` lists what there is. `make run` and `make test` set up all that they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

DEMO ?= 1
DATA ?= .eye
EVENTS ?= 10000000
CONSOLE := query-api/console
export CARGO_TERM_PROGRESS_WHEN ?= auto

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables of run: DEMO=0 (start empty), DATA=dir (default .eye), EVENT_TYPES=dir (more event types)"

run: prerequisites $(CONSOLE)/dist/index.html ## start the whole pipeline with demo data; Ctrl-C stops it all
	cargo build --release -p ingest -p projector -p query-api -p local-stack -p e2e --bins
	exec target/release/eye run --demo $(DEMO) --data "$(DATA)" $(if $(EVENT_TYPES),--event-types "$(EVENT_TYPES)")

test: prerequisites $(CONSOLE)/dist/index.html ## every test, on the real Kafka and the real ClickHouse engine
	cargo build --workspace --bins
	cargo test --workspace
	target/debug/eye with -- $(MAKE) test-clients test-console

lint: prerequisites $(CONSOLE)/dist/index.html ## formats, clippy, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	tests/tools/cargo-deny check bans licenses sources

schemas: ## write the JSON Schemas that are derived from Rust types (schemas/generated/)
	cargo run -q -p schemas --example generate

include clients/Makefile

prerequisites:
	@tests/tools/prerequisites

$(CONSOLE)/dist/index.html: $(CONSOLE)/package-lock.json $(shell find $(CONSOLE)/src $(CONSOLE)/index.html -type f 2>/dev/null)
	cd $(CONSOLE) && npm ci --no-audit --no-fund && npm run build

bench-projector: prerequisites ## a full log, and freshness at two rates; EVENTS=1000000
	cargo build --release -p projector -p local-stack -p benches --bins
	target/release/bench-projector

bench-query: prerequisites ## every question on EVENTS=10000000 events, and the peers' SQL on the same
	cargo build --release -p local-stack -p benches --bins
	EVENTS=$(EVENTS) target/release/bench-query

.PHONY: bench-query help run test lint schemas prerequisites

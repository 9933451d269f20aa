# The only entry: `make` lists the targets. `make run` and `make test` set up all that they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

DEMO ?= 1
DATA ?= .eye
SHARDS ?= 1
EVENTS ?= 10000000
CASES ?= 10000000
FAULTS ?= 200
CONSOLE := query-api/console
export CARGO_TERM_PROGRESS_WHEN ?= auto

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "variables of run: DEMO=0 (start empty), DATA=dir (default .eye), EVENT_TYPES=dir (more event types), SHARDS=n (ClickHouse servers)"

run: prerequisites $(CONSOLE)/dist/index.html ## start the whole pipeline with demo data; Ctrl-C stops it all
	cargo build --release -p ingest -p projector -p query-api -p local-stack -p e2e --bins
	exec target/release/eye run --demo $(DEMO) --data "$(DATA)" --clickhouse-shards $(SHARDS) $(if $(EVENT_TYPES),--event-types "$(EVENT_TYPES)")

test: prerequisites $(CONSOLE)/dist/index.html ## run every test on the real Kafka and the real ClickHouse engine
	tests/tools/debian chromium chromium
	cargo build --workspace --bins
	cargo test --workspace --exclude the-eye-client
	EYE_TEST_SHARDS=2 cargo test --workspace --exclude the-eye-client --test questions -- order random reference
	EYE_TEST_SHARDS=2 cargo test --workspace --exclude the-eye-client --test it -- erase heal retention
	target/debug/eye with -- $(MAKE) test-pipeline

# Checks by other languages and a browser on a running pipeline: `target/debug/eye with -- make test-pipeline`.
test-pipeline: test-clients test-console
	tests/openapi/run
	tests/docs/run
	tests/operations/run

test-console: tests/console/node_modules/ready
	cd tests/console && npm run --silent check && npm run --silent test

tests/console/node_modules/ready: tests/console/package-lock.json
	cd tests/console && npm ci --no-audit --no-fund --loglevel error
	touch $@

chaos: prerequisites $(CONSOLE)/dist/index.html ## run the long form of the fault tests: FAULTS=200
	cargo build --workspace --bins
	EYE_CHAOS_FAULTS=$(FAULTS) cargo test -p e2e --test e2e -- whatever_dies --nocapture
	EYE_CHAOS_FAULTS=$$(($(FAULTS) / 4)) EYE_CHAOS_SHARDS=2 cargo test -p e2e --test e2e -- whatever_dies --nocapture
	EYE_CHAOS_REBALANCES=$$(($(FAULTS) * 3)) cargo test -p e2e --test e2e -- whoever_projects --nocapture
	EYE_LOG_FAULTS=$$(($(FAULTS) * 3)) cargo test -p e2e --test e2e -- whatever_happens_to_the_log --nocapture
	EYE_KILLS=50 cargo test -p local-stack -- kill --nocapture

lint: prerequisites $(CONSOLE)/dist/index.html ## check formats, clippy, licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	tests/tools/cargo-deny check bans licenses sources

# New inputs go to target/; `cargo-fuzz cmin` into corpus/ keeps the best of them.
fuzz: ## fuzz the gateway's slicing and the judge with hostile bytes: CASES=10000000 each
	mkdir -p target/fuzz/slice target/fuzz/judge
	cd ingest/fuzz && for target in slice judge; do \
	  ../../tests/tools/cargo-fuzz run --sanitizer none $$target ../../target/fuzz/$$target corpus/$$target \
	    -- -runs=$(CASES) -max_len=512 -print_final_stats=1 -verbosity=0 || exit 1; done

schemas: ## write the JSON Schemas that are derived from Rust types (schemas/generated/)
	cargo run -q -p schemas --example generate

include clients/Makefile

prerequisites:
	@tests/tools/prerequisites

$(CONSOLE)/dist/index.html: $(CONSOLE)/package-lock.json query-api/openapi.json $(shell find $(CONSOLE)/src $(CONSOLE)/index.html -type f 2>/dev/null)
	cd $(CONSOLE) && npm ci --no-audit --no-fund && npm run build

bench-ingest: prerequisites ## measure the gateway against its limits, and with the broker stopped (needs wrk)
	tests/tools/debian wrk wrk
	cargo build --release -p ingest -p benches --bins
	target/release/bench-ingest

bench-projector: prerequisites ## measure the projector on a full log, and the freshness of answers: EVENTS=1000000
	cargo build --release --workspace --bins
	@# In memory if 4 GB are free: the time that a disk takes to make a file depends on what was deleted before.
	@if [ -z "$${TMPDIR:-}" ] && [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'END { print $$4 + 0 }')" -gt 4000000 ]; then export TMPDIR=/dev/shm; fi; \
	  echo "data in $${TMPDIR:-/tmp} (TMPDIR)"; exec target/release/bench-projector

bench-query: prerequisites ## measure every question, and the peers' SQL, on the same events: EVENTS=10000000
	cargo build --release -p local-stack -p benches --bins
	EVENTS=$(EVENTS) target/release/bench-query

.PHONY: bench-ingest fuzz bench-projector bench-query chaos help run test test-pipeline test-console lint schemas prerequisites

# Every step that CI takes is a target here: local is the same as CI.
SHELL := /bin/bash
.DEFAULT_GOAL := help

help: ## show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

deps: ## install what is missing, by package name
	scripts/deps.sh test

run: ## build, start `senlin standalone` and show a demonstration
	scripts/deps.sh run
	cargo build --release -p senlin
	scripts/run.sh

test: deps ## everything CI runs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	scripts/services.sh start
	cargo build --workspace --bins
	cargo test --workspace --no-fail-fast -- --show-output

tempest: deps ## run senlin-tempest-plugin's api tests against ours
	scripts/deps.sh tempest
	scripts/services.sh start
	cargo build --workspace --bins
	target/debug/tempest

fuzz: deps ## run Schemathesis over the whole OpenAPI document
	scripts/services.sh start
	cargo build --workspace --bins
	target/debug/fuzz

storm: deps ## freeze, kill and cut off every part under random requests, and judge (MINUTES=10 SEED=)
	cargo build --workspace --bins
	target/debug/storm $(or $(MINUTES),10) $(SEED)

bench: deps ## measure, and write docs/performance.md (PARTS="history beats" for some of its lines)
	scripts/services.sh start
	cargo build --release --workspace --bins
	target/release/bench $(PARTS)

services: deps ## start PostgreSQL and RabbitMQ for tests
	scripts/services.sh start

services-stop: ## stop them
	scripts/services.sh stop

purge: ## say what all this has left on the machine; scripts/purge.sh --yes removes it
	scripts/purge.sh

.PHONY: help deps run test tempest fuzz storm bench services services-stop purge

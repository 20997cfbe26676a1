# What a developer does here. Needs Debian (or a relative of it), Rust from rustup, and package registries; what else is
# missing is installed by scripts/setup.sh, which says so.

# release or dev: what `run` and `demo` build.
PROFILE ?= release

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup run demo test unit check fmt map bench soak faults generate sqlx dist clean

# Where scripts/setup.sh puts tools that the machine does not have.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)

server := target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/countersign

unit_tests := $(wildcard server/core/tests/*.rs server/ledger/tests/*.rs server/policy/tests/*.rs proto/tests/*.rs)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what run, test and check need
	@scripts/setup.sh run test check

run: ## Build and start a dev server on 127.0.0.1:8080 (COUNTERSIGN_LISTEN), data in .countersign (COUNTERSIGN_DATA_DIR)
	@scripts/setup.sh run
	@cargo build --locked --profile $(PROFILE) --package countersign
	@exec $(server) serve --dev

demo: ## Play one agent's day on a fresh dev server and print its custody tree
	@scripts/setup.sh run
	@cargo build --quiet --locked --profile $(PROFILE) --package countersign
	@exec $(server) demo

test: ## Run every test: Rust, clients in five languages, README, demo; T=races runs only the outside ones with that in their names
	@scripts/setup.sh run $(if $(T),,test)
	@scripts/test.sh $(T)

unit: ## Run the tests that need neither Postgres nor a server, in under a minute after a build
	@PROPTEST_CASES=$${PROPTEST_CASES:-40} cargo test --locked --workspace --lib $(foreach file,$(unit_tests),--test $(basename $(notdir $(file)))) -- --skip on_postgres::

check: ## Check what needs no running program: format, lints, contract, dependencies, queries, spelling
	@scripts/setup.sh run test check
	@scripts/check.sh

fmt: ## Format the Rust code
	@cargo fmt --all

map: ## Print every source file with what its header says; W="expire approval" only those with all these words
	@scripts/map.sh $(W)

bench: ## Measure, and print ratios against baselines of the same run
	@scripts/setup.sh run
	@cargo run --release --locked --package countersign-integration --bin bench

soak: ## Attack a server in every known way at once, and print what its users notice (SOAK="--seconds 300")
	@scripts/setup.sh run
	@cargo run --release --locked --package countersign-integration --bin soak -- $(SOAK)

faults: ## Kill, fill the disk, set the clock, cut the network under load; look for what is lost (FAULTS="--kills 10 --seed 7")
	@scripts/setup.sh run test
	@cargo run --locked --package countersign-integration --bin faults -- $(FAULTS)

generate: ## Generate the stubs of the clients in other languages, and docs/metrics.md
	@scripts/setup.sh test
	@clients/generate.sh
	@COUNTERSIGN_GENERATE=1 cargo test --quiet --locked --workspace --lib the_page_lists_every_metric

sqlx: ## Check the SQL against the migrations and renew .sqlx
	@scripts/setup.sh run
	@scripts/sqlx.sh

dist: ## Put together what is given to others, with fat LTO (minutes), in target/dist
	@scripts/setup.sh run
	@scripts/dist.sh

clean: ## Remove what was built or generated, but not .countersign
	@cargo clean
	@git clean -ffdXq clients integration

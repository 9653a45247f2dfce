# Selvedge's commands. Each installs what is missing first, says what and why, and
# needs no network once everything is there. `.ci/run` runs test and check.

SHELL := /bin/sh
# What is optional, and tested and checked all the same.
FEATURES := postgres,genicam,outputs
.DEFAULT_GOAL := help
.PHONY: help setup setup-release quality demo test check bench

help:
	@echo 'make demo    teach an article, inspect a roll, show what was found (simulated cloth)'
	@echo 'make test    run every test'
	@echo 'make check   formatting, lints, documentation, and the build without what is optional'
	@echo 'make bench   measure the line'
	@echo 'make quality install the stronger network that teach --quality needs (47 MB)'
	@echo 'make setup   only install what is missing (system packages, ONNX Runtime, backbone)'

setup:
	@setup/install.sh dev

quality:
	@setup/install.sh dev --quality

setup-release:
	@setup/install.sh release

# Exit code 1 means that flaws or gaps were found, which is what the demo is for;
# 0 would mean that the planted flaws were missed, 2 that it could not be done.
demo: setup-release
	cargo build --release
	@echo '$${CARGO_TARGET_DIR:-target}/release/selvedge demo --out demo'
	@code=0; "$${CARGO_TARGET_DIR:-target}"/release/selvedge demo --out demo || code=$$?; \
	case $$code in \
	1) echo 'demo: flaws were found, as planted; the roll map lies in demo/' ;; \
	0) echo 'demo: no flaw was found, but flaws were planted' >&2; exit 1 ;; \
	*) echo "demo: failed with exit code $$code" >&2; exit 1 ;; \
	esac

# The store is tested on SQLite and on a PostgreSQL server that is started for the tests, in a
# folder of its own, and gone afterwards. Brokers that alarms are told to are started by their tests.
test: setup
	@setup/install.sh tests
	@if cargo nextest --version >/dev/null 2>&1; then \
		echo 'cargo nextest run --workspace --features $(FEATURES)'; \
		store/tests/with_postgres.sh cargo nextest run --workspace --features $(FEATURES); \
	else \
		echo 'cargo-nextest is not installed, so the tests run with cargo test'; \
		store/tests/with_postgres.sh \
			cargo test --workspace --features $(FEATURES) --lib --bins --tests; \
	fi
	cargo test --workspace --features $(FEATURES) --doc

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --features $(FEATURES) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --features $(FEATURES) --no-deps
	cargo check --workspace --all-targets --no-default-features

bench: setup
	cargo bench -p selvedge --bench line_speed --bench stages --bench latency --bench long_run --bench soak

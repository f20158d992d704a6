# make demo   build Muster, run 1,000 molecules through a real model, leave the hub running
# make test   everything CI checks
# make two-hubs  the tests of the API against two hubs on one PostgreSQL
# make web    build the web app into web/dist, from where the binary takes it
# make web-dev  the web app from its sources, beside a hub at 127.0.0.1:8080
# make web-test  the web app alone: its units, and a real browser before a real hub
# make screenshots  every page, for desktop and phone, light and dark, into target/screenshots
# make fmt    format the code, and write openapi.json anew
# make bench  measure speed and memory with the release build; make bench-quick: fewer and shorter runs ([BENCH=..])
# make chaos  break everything under load, heal it, look whether anything was lost ([SEED=..] [MINUTES=5] [DB=sqlite|postgres] [KILLS=..] [CHAOS=..])
# make chaos-quick  the same in at most three minutes, with the debug build: part of make test
# make simulate [SEED=..] [WORLDS=..]  hubs that are killed and live on, and nodes that come and go, in simulated time
# make mutants  show that the tests catch what they are for: one guard removed each (15 minutes and more; [MUTANTS=..])
# make fuzz-api  a real hub gets what its description allows and what it does not, 1,000 examples a route, 5 in make test ([EXAMPLES=..] [SEED=..] [FUZZ=--as admin])
# make kube-contract KUBECONFIG=..  what kubectl and the Python client expect of a Kubernetes API, asked of any cluster ([ONLY=..])
# make release VERSION=..  the folder with everything a person installs (docs/releasing.md; [KEY=..]); release-quick: no tests, not signed; release-check: is it what it says?
# make deny   licences and sources of the dependencies (needs cargo-deny)

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
TEST := $(shell command -v cargo-nextest >/dev/null 2>&1 && echo nextest run || echo test)

# The tests of the API once more: two hubs on one PostgreSQL behind a balancer, their clocks a minute apart.
API_TESTS := $(if $(findstring nextest,$(TEST)),-E 'package(muster-server) and kind(test)',--test all)

.PHONY: demo test two-hubs web web-dev web-units web-browser web-test screenshots fmt bench bench-quick simulate fuzz-api kube-contract mutants chaos chaos-quick chaos-sqlite chaos-postgres deny release release-quick release-check

# Who lacks Node and cannot get it has the API and the command line all the same.
demo:
	scripts/web || printf '%s\n' \
		"The web app is not built: it takes Node 24.15 or newer in PATH, or Python 3 with venv, PyPI and npm." \
		"The API and the command line work without it; the hub's front page says how to build it." \
		"Later: make web, then make demo again."
	$(CARGO) build --release -p muster
	scripts/demo $(TARGET)/release/muster

# clippy-driver is rustc that lints: with it the tests' own build lints the workspace, and sees more than `cargo clippy`,
# which before it would check every dependency once more: a third of the gate's time. CLIPPY_ARGS is how
# `cargo clippy -- -D warnings` hands its arguments on.
test: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
test: export CLIPPY_ARGS := -Dwarnings__CLIPPY_HACKERY__
test:
	scripts/need-postgres
	scripts/need-s3
	scripts/need-smtp
	scripts/need-nginx
	scripts/need-clients
	scripts/need-kubectl
	scripts/need-helm
	scripts/need-chromium
	scripts/web
	$(CARGO) fmt --check
	$(CARGO) $(TEST) --workspace
	MUSTER_TEST_HUBS=2 $(CARGO) $(TEST) --workspace $(API_TESTS)
	$(MAKE) web-units web-browser
	$(MAKE) chaos-quick
	$(MAKE) fuzz-api EXAMPLES=5

# A part of make test.
two-hubs: export RUSTC_WORKSPACE_WRAPPER := clippy-driver
two-hubs: export CLIPPY_ARGS := -Dwarnings__CLIPPY_HACKERY__
two-hubs:
	scripts/need-postgres
	MUSTER_TEST_HUBS=2 $(CARGO) $(TEST) --workspace $(API_TESTS)

web:
	scripts/web

web-dev:
	scripts/web
	scripts/web node_modules/.bin/ng serve

web-units:
	scripts/web node_modules/.bin/vitest run

# Before the binary that the tests have built, or that MUSTER names.
web-browser:
	scripts/need-chromium
	scripts/need-postgres
	scripts/web node --test --test-force-exit --test-timeout=900000 --test-concurrency=1 'tests/*.test.mjs'

web-test:
	scripts/web
	$(BUILD_AS_TESTED)
	$(MAKE) web-units web-browser

screenshots:
	scripts/need-chromium
	scripts/web
	$(CARGO) build -p muster
	scripts/web node tests/screenshots.mjs

fmt:
	$(CARGO) fmt
	$(CARGO) run -q -p muster -- openapi > openapi.json.new && mv openapi.json.new openapi.json

# BENCH="--only small,durable-sqlite --keep" and the like: see `muster-bench table --help`.
bench bench-quick:
	scripts/need-postgres
	$(CARGO) build --release -p muster -p muster-bench -p fake-kube
	$(TARGET)/release/muster-bench table --muster $(TARGET)/release/muster $(if $(findstring quick,$@),--quick) $(BENCH)
	$(CARGO) bench -p muster-core --bench plan

# `muster-bench chaos --help` says what else there is.
chaos:
	scripts/need-postgres
	scripts/need-chaos
	$(CARGO) build --release -p muster -p muster-bench
	$(TARGET)/release/muster-bench chaos --muster $(TARGET)/release/muster --database $(or $(DB),sqlite) --minutes $(or $(MINUTES),5) \
		$(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) $(CHAOS)

# What `make test` has built: the dependencies of fewer packages or targets have fewer features, and
# would be built anew.
BUILD_AS_TESTED = $(CARGO) build --workspace --all-targets

# At most three minutes; both databases at once: most of it is waiting.
QUICK = $(TARGET)/debug/muster-bench chaos --muster $(TARGET)/debug/muster --seed 7 --short --minutes 0.2
chaos-quick:
	scripts/need-postgres
	scripts/need-chaos
	$(BUILD_AS_TESTED)
	$(MAKE) -j2 --output-sync=target chaos-sqlite chaos-postgres

chaos-sqlite:
	$(QUICK) --full-disk
	$(QUICK) --walk

chaos-postgres:
	$(QUICK) --database postgres

# Two processes, a half of the worlds each.
simulate: SEED ?= 1
simulate: WORLDS ?= 1000
simulate:
	$(CARGO) test -p muster-engine --test simulation --no-run
	scripts/simulate $(SEED) $(WORLDS)

mutants:
	scripts/mutants $(MUTANTS)

# As an anonymous session, a user and an admin, one after the other.
fuzz-api: EXAMPLES ?= 1000
fuzz-api: SEED ?= 1
fuzz-api:
	scripts/need-schemathesis
	$(BUILD_AS_TESTED)
	scripts/fuzz-api $(TARGET)/debug/muster $(TARGET)/tmp/schemathesis/bin/schemathesis \
		--examples $(EXAMPLES) --seed $(SEED) $(FUZZ)

# The tests ask it of fake-kube. Where there is no such image, CONTRACT_IMAGE names one that has sh.
kube-contract:
	KUBECONFIG=$(KUBECONFIG) scripts/kube-contract $(if $(ONLY),--only $(ONLY))

deny:
	$(CARGO) deny check

release:
	scripts/release $(VERSION) $(if $(KEY),--key $(KEY))

release-quick:
	scripts/release $(VERSION) --quick $(if $(FORMS),--only $(FORMS)) $(if $(PROGRAM),--program $(PROGRAM))

release-check:
	scripts/release-check $(VERSION) $(if $(PUBLIC_KEY),--public-key $(PUBLIC_KEY)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(BEFORE),--before $(BEFORE)) $(if $(QUICK),,--twice)

# make demo   build Muster, run 1,000 molecules through a real model, leave the hub running
# make test   everything CI checks
# make fmt    format the code, and write openapi.json anew
# make deny   licences and sources of the dependencies (needs cargo-deny)

CARGO ?= cargo
TEST := $(shell command -v cargo-nextest >/dev/null 2>&1 && echo nextest run || echo test)

.PHONY: demo test fmt deny

demo:
	$(CARGO) build --release -p muster
	scripts/demo target/release/muster

test:
	scripts/need-postgres
	scripts/need-s3
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) $(TEST) --workspace

fmt:
	$(CARGO) fmt
	$(CARGO) run -q -p muster -- openapi > openapi.json.new && mv openapi.json.new openapi.json

deny:
	$(CARGO) deny check

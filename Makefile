# The everyday commands. Cargo always gets --workspace: with a package picked, features unify
# differently and the dependencies are built once more.

# A database for the tests: the one in TEST_MYSQL_URL, or a private one for as long as they run.
WITH_DATABASE := $(if $(TEST_MYSQL_URL),,tests/scripts/with-mariadb)

.PHONY: help run release check deny semver lint-openapi test test-api test-tools test-console console attack attack-quick fuzz chaos chaos-quick chaos-tools cluster mutants fmt bench bench-quick bench-growth

help: ## List these targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Use

run: ## Serve on SQLite with demo data; needs nothing but Rust and a C compiler
	cargo run --release --locked --bin jangteo -- serve --dev

release: ## The release binary with its SBOM, licenses and SHA-256 sums, in target/release-artifacts; needs Python
	tests/scripts/release

##@ Develop

fmt: ## Format all code
	cargo fmt --all

check: ## Formatting, spelling, lints, documentation, dependencies and the architecture's rules
	cargo fmt --all --check
	tests/scripts/typos
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --all-targets --locked --features jangteo/otel -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo test --workspace --locked --test suite -- architecture:: docs::
	tests/scripts/cargo-tool machete 0.9.2
	tests/scripts/cargo-tool deny 0.20.2 --config .cargo/deny.toml check licenses bans sources

deny: ## Known vulnerabilities of all dependencies; needs a network
	tests/scripts/cargo-tool deny 0.20.2 --config .cargo/deny.toml check advisories

console: ## Rebuild the files of the back office and the demo shop; needs Node and a network
	tests/scripts/console build

semver: ## Breaking changes of jangteo-domain since the last tag; needs a network and, the first time, minutes
	@tag=$$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null) || \
		{ echo "make: no tag v* to compare with; in a clone without tags: git fetch --tags --unshallow" >&2; exit 1; }; \
	tests/scripts/cargo-tool semver-checks 0.51.0 semver-checks --package jangteo-domain --baseline-rev "$$tag"

lint-openapi: ## Spectral and Redocly on the OpenAPI document; needs Node and a network
	cargo build --workspace --locked --bin jangteo
	tests/scripts/lint-openapi target/debug/jangteo

test: test-tools ## Every test, on SQLite and on TEST_MYSQL_URL or else a private MariaDB
	cargo build --workspace --locked
	$(WITH_DATABASE) cargo test --workspace --locked
	$(MAKE) attack-quick
	$(MAKE) test-console
	$(MAKE) chaos-quick
	cargo test --workspace --locked --lib --features jangteo/otel traces::

# API_REQUESTS requests for each operation beside those at the limits of its schemas; API_SEED repeats a run.
test-api: ## Random requests by the OpenAPI document, more than in `make test`, with a new seed; needs Python and a network
	cargo build --workspace --locked
	API_REQUESTS=$${API_REQUESTS:-200} API_SEED=$${API_SEED:-$$(date +%s)} cargo test --workspace --locked --test suite -- api_properties:: --nocapture

test-console: ## The pages in a real browser, and that the built files are those of the sources; needs Node and a network
	cargo build --workspace --locked --bin jangteo
	$(WITH_DATABASE) tests/scripts/console test

# What replicates MariaDB (Galera). Where it cannot be installed, the tests that need it fail and say so.
test-tools: chaos-tools
	@ls /usr/lib*/galera*/libgalera_smm.so 2>/dev/null | grep -q . || tests/scripts/apt-install galera-4 || \
		echo "make: without the package galera-4 the tests in galera:: and failover:: fail" >&2

##@ Break

# URL=http://127.0.0.1:PORT with JWT_SECRET, JWT_ISSUER and JWT_AUDIENCE attacks a running server.
attack: ## The attacks of a security review, with connections held for 200 s, on a server of its own or on URL
	cargo build --workspace --locked
	target/debug/jangteo-attack $(if $(URL),--url $(URL))

attack-quick: ## The same on a server of its own with short timeouts, in about a minute
	cargo build --workspace --locked
	target/debug/jangteo-attack --hold 20

FUZZ_TARGETS = body query cursor token literals
FUZZ_SECONDS = 600
fuzz: ## Fuzz the input of callers, FUZZ_SECONDS (600) for each of FUZZ_TARGETS; needs a C++ compiler and a network
	tests/scripts/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

chaos: chaos-tools ## Kill, cut, stall and lock everything, hundreds of times; CHAOS_SEED=N as that run did
	cargo build --release --workspace --locked
	target/release/jangteo-chaos full --document docs/reliability.md

# An interrupted run continues after the last fault in this file.
CLUSTER_RESULTS = target/cluster-results.jsonl
cluster: test-tools ## Kill, pause, separate and restart database nodes, for an hour; MYSQLD_ROOT=FOLDER for MySQL too
	cargo build --release --workspace --locked
	target/release/jangteo-chaos cluster --results $(CLUSTER_RESULTS) --document docs/reliability.md
	rm -f $(CLUSTER_RESULTS)

chaos-quick: chaos-tools ## The same, each a few times, in under 3 minutes
	cargo build --workspace --locked
	target/debug/jangteo-chaos quick

# A database to kill, and a library that lies about the time.
chaos-tools:
	@PATH=$$PATH:/usr/sbin; { command -v mariadbd && command -v mariadb-install-db; } >/dev/null || \
		tests/scripts/apt-install mariadb-server-core mariadb-client-core
	@ls /usr/lib*/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1 2>/dev/null | grep -q . || \
		tests/scripts/apt-install faketime

mutants: ## Break the rules one defect at a time; the test that each names must notice
	tests/scripts/mutants

##@ Measure

bench: ## Measure everything beside its yardsticks, for about half an hour; DB=sqlite for SQLite
	cargo build --release --workspace --locked
	target/release/jangteo-bench run

bench-quick: ## The same in under a minute: that it works, not how fast
	cargo build --release --workspace --locked
	target/release/jangteo-bench quick

bench-growth: ## What 100 thousand, 1 million and 5 million orders cost, for about half an hour; DB=sqlite for SQLite
	cargo build --release --workspace --locked
	target/release/jangteo-bench growth

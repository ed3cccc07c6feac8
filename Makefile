# tinyMQ: all that is done with this repository. GNU make 3.81 (macOS) or later.
#
# Needs npm, or Bun. Everything else is installed below this folder, and only when something changed.

BUN_VERSION := 1.4.5

HOST ?= localhost
PORT ?= 9800

# The Bun on PATH if it is new enough; otherwise our own, in .tools.
BUN_IS_THERE := $(shell bun --version 2>/dev/null | awk -F. -v wanted=$(BUN_VERSION) \
	'{ split(wanted, w, "."); if ($$1 > w[1] || ($$1 == w[1] && $$2 >= w[2])) print "yes" }')
ifeq ($(BUN_IS_THERE),yes)
BUN := bun
OWN_BUN :=
else
BUN := .tools/node_modules/.bin/bun
OWN_BUN := .tools/bun-$(BUN_VERSION)
export PATH := $(CURDIR)/.tools/node_modules/.bin:$(PATH)
endif

TMQ := $(BUN) dist/cli/main.js
PACKED := node_modules/.cache/tmqserver.tgz
# Folders too: their times change when a file comes or goes.
SOURCES := $(shell find src cli)

.PHONY: help start stop test demo build proto bench bench-quick bench-smoke clean
.PHONY: check check-types check-lint check-unused check-package
.DEFAULT_GOAL := help

help:
	@echo "make start    server in the background on localhost:9800 (HOST=... PORT=... for another address)"
	@echo "make stop     stop it"
	@echo "make demo     two processes pass every line of this repository through a server of their own"
	@echo "make test     run all tests"
	@echo "make check    types, lint, unused code, package"
	@echo "make build    dist/, what the package ships"
	@echo "make proto    src/gen from proto/"
	@echo "make bench    measure against other queues, on a machine that does nothing else; bench-quick: tinyMQ alone"
	@echo "make clean    remove what was built and installed here"

start: dist/index.js
	@if $(TMQ) status >/dev/null 2>&1; then echo "Already running, so nothing is started."; \
	else $(TMQ) start --host $(HOST) --port $(PORT) >/dev/null; fi
	@$(TMQ) status
	@echo
	@echo "Try next:"
	@echo "  echo hello | $(TMQ) produce greetings"
	@echo "  $(TMQ) consume greetings"
	@echo "  make demo"
	@echo "  make stop"

stop: dist/index.js
	@$(TMQ) stop

test: dist/index.js
	@$(BUN) test --timeout 20000

demo: node_modules/.installed
	@$(BUN) test/repo/demo.ts

check: check-types check-lint check-unused check-package

check-types: node_modules/.installed bench/node_modules/.installed
	@echo "Checking types"
	@$(BUN) run --silent tsc

check-lint: node_modules/.installed
	@echo "Checking style"
	@$(BUN) run --silent biome check --error-on-warnings

check-unused: node_modules/.installed bench/node_modules/.installed
	@echo "Looking for unused code"
	@$(BUN) run --silent knip

check-package: dist/index.js
	@echo "Checking the package"
	@mkdir -p node_modules/.cache
	@$(BUN) pm pack --quiet --ignore-scripts --filename $(PACKED) >/dev/null
	@$(BUN) run --silent publint --strict $(PACKED)
	@$(BUN) run --silent attw --quiet --profile esm-only $(PACKED)

build: dist/index.js

dist/index.js: $(SOURCES) package.json tsconfig.json tsconfig.build.json node_modules/.installed
	@echo "Building dist/"
	@$(BUN) cli/build/build.ts

proto: node_modules/.installed
	@echo "Generating src/gen/"
	@$(BUN) proto/generate.ts

clean:
	rm -rf dist node_modules bench/node_modules .tools

node_modules/.installed: package.json bun.lock $(OWN_BUN)
	@echo "Installing what package.json asks for"
	@$(BUN) install --frozen-lockfile --silent
	@touch $@

bench: build bench/node_modules/.installed
	@$(BUN) bench/main.ts

bench-quick: build bench/node_modules/.installed
	@$(BUN) bench/main.ts --quick

bench-smoke: build bench/node_modules/.installed
	@$(BUN) bench/main.ts --smoke

# The benches compare with other queues, whose clients are none of the package's business.
bench/node_modules/.installed: bench/package.json bench/bun.lock $(OWN_BUN)
	@echo "Installing what bench/package.json asks for"
	@$(BUN) install --cwd bench --frozen-lockfile --silent
	@touch $@

# Where npm does not run install scripts it leaves a stub, which Bun's own script replaces.
.tools/bun-$(BUN_VERSION):
	@npm --version >/dev/null 2>&1 || { echo "make needs Bun (https://bun.com) or npm" >&2; exit 1; }
	@echo "Installing Bun $(BUN_VERSION) into .tools/"
	@mkdir -p .tools
	@npm install --prefix .tools --no-save --no-package-lock --no-audit --no-fund --loglevel error bun@$(BUN_VERSION)
	@$(BUN) --version >/dev/null 2>&1 || (cd .tools/node_modules/bun && node install.js)
	@$(BUN) --version >/dev/null
	@touch $@

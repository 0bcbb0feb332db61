# The README's commands. `make help` lists them.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BASE ?= main
EXTRAS ?=
DRIVERS := $(basename $(notdir $(wildcard requirements/*.lock)))
UNKNOWN := $(filter-out $(DRIVERS),$(EXTRAS))
# An extra, once installed, stays: its lock in .venv remembers it when the environment is made anew.
INSTALLED := $(filter $(DRIVERS),$(basename $(notdir $(wildcard $(VENV)/requirements/*.lock))))
EXTRA_LOCKS := $(patsubst %,$(VENV)/requirements/%.lock,$(sort $(INSTALLED) $(EXTRAS)))
ENVIRONMENT := $(READY) $(EXTRA_LOCKS)
# A lock names every package, so there is nothing to resolve. Left to resolve, pip before 23.3 asks for the newest
# release of a package that another one wants with an extra (coverage[toml]), and refuses it as not in the lock.
# uv is faster, but does not know of an index that pip's settings name: pip then goes on.
LOCKED := --quiet --no-deps --require-hashes --requirement
BY_UV := $(if $(shell command -v uv),uv pip install --python $(VENV) --compile-bytecode $(LOCKED))
BY_PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check $(LOCKED)
install = $(if $(BY_UV),$(BY_UV) $(1) || { echo "uv failed; pip tries" >&2; $(BY_PIP) $(1); },$(BY_PIP) $(1))
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help setup doctor repro report crossval test check verify kill-test bench lock

ifneq ($(UNKNOWN),)
$(error EXTRAS has $(UNKNOWN), but only these are known, with spaces between: $(DRIVERS))
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(ENVIRONMENT) ## make .venv from requirements.lock (done when needed); EXTRAS="s3 ssh" adds DVC's drivers

doctor: ## say whether this machine and clone are fine, without changing anything
	@$(RUN) $$([ -x $(VENV)/bin/python ] && echo python || echo $(PYTHON)) -m tools.doctor

repro: $(ENVIRONMENT) repository ## run the pipeline: only the stages whose inputs changed
	@$(RUN) dvc repro
	@$(RUN) python -c 'import json; print("test accuracy {accuracy:.1%} of {images} photos (metrics/evaluation.json)".format(**json.load(open("metrics/evaluation.json"))))'

report: $(ENVIRONMENT) repository ## say what changed since BASE (main): make report BASE=v1.0.0
	@$(RUN) python -m tools.report --base "$(BASE)"

FOLDS ?= 5
crossval: $(ENVIRONMENT) repository ## cross-validate: train FOLDS (5) networks, so that every photo is tested once
	@$(RUN) dvc repro --quiet prepare
	@$(RUN) python -m tools.crossval --run --folds "$(FOLDS)"

test: $(ENVIRONMENT) ## run the tests
	@$(RUN) pytest

check: $(ENVIRONMENT) ## check format, lint and types
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy

verify: $(ENVIRONMENT) repository ## run the pipeline three times, once with kills, and compare every byte
	@$(RUN) python -m tests.verify

KILLS ?= 10
kill-test: $(ENVIRONMENT) repository ## kill stages at all kinds of moments, and compare: make kill-test KILLS=200
	@$(RUN) python -m tests.kill_harness --kills $(KILLS)

bench: $(ENVIRONMENT) ## compare speeds after `make repro`, in some minutes (PHOTOS=folder: prepare too)
	@$(RUN) python -m benchmarks.step
	@$(if $(PHOTOS),FLOWERBED_PHOTOS="$(PHOTOS)" $(RUN) python -m benchmarks.prepare_speed 3,:)
	@$(RUN) python -m benchmarks.tutorial

.PHONY: repository
repository:
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { \
	  echo "$(CURDIR) is not in a Git repository: clone the project, or run \`git init\` here" >&2; exit 1; }

# The environment is made anew when the lock's content changes, so that nothing of the old one stays.
$(READY): requirements.lock
	@if cmp -s requirements.lock $(VENV)/requirements.lock; then touch $@; \
	  else $(MAKE) --no-print-directory environment; fi

.PHONY: environment
environment:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), but Python 3.11 or newer is needed: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@[ "$(TORCH)" != cpu ] || command -v uv >/dev/null || { \
	  echo "TORCH=cpu needs uv, which is not found: install it (pipx install uv), or leave TORCH out" >&2; exit 1; }
	@echo "making $(VENV) from requirements.lock (several minutes the first time)"
	@rm -rf $(VENV)
	@$(if $(EXTRA_LOCKS),mkdir -p $(VENV)/requirements && touch $(EXTRA_LOCKS))
	@$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
# PyTorch has an index of its own for the CPU's wheels, which uv knows. Their hashes are not in the lock.
	@sed -E '/^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/,/[^\\]$$/d' requirements.lock > $(VENV)/cpu.lock
	@uv pip install --quiet --compile-bytecode --python $(VENV) --torch-backend cpu --no-deps $$(sed -nE 's/^(torch|torchvision)(==[^ ;]*).*/\1\2/p' requirements.lock)
	@$(call install,$(VENV)/cpu.lock)
else
	@$(call install,requirements.lock)
endif
	@$(VENV)/bin/python -m pip check
	@cp requirements.lock $(VENV)/requirements.lock
	@touch $(READY)

$(VENV)/requirements/%.lock: requirements/%.lock $(READY)
	@echo "adding the extra $* to $(VENV)"
	@$(call install,$<)
	@$(VENV)/bin/python -m pip check
	@mkdir -p $(@D) && cp $< $@

BASE_PACKAGES = $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock)
lock: ## resolve requirements.lock, and requirements/ with what the extras need beyond it; needs uv
	@uv pip compile --universal --generate-hashes --extra dev pyproject.toml -o requirements.lock >/dev/null
	@for extra in $(DRIVERS); do uv pip compile --universal --generate-hashes --no-annotate --extra $$extra pyproject.toml \
	  --custom-compile-command "make lock" --constraint requirements.lock $(BASE_PACKAGES) \
	  -o requirements/$$extra.lock >/dev/null || exit 1; done

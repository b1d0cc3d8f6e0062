# The only entry. `make` alone lists the commands.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
# `make urls` prints nothing else, also when another make calls it.
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DEV := $(VENV)/.dev
RUN := $(VENV)/.run

# Each NAME=value of make's command line goes to the program by the environment and as written, for every target: in a
# recipe's line make would expand a value, and the shell run what it quotes. So no recipe names one.
$(foreach name,$(filter-out SHELL,$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(eval override export $(name) := $$(value $(name)))))

.PHONY: help run test bench profile soak growth chaos check demo rebuild replay renormalise urls migrate lint types advisories generated lock deploy audit dead-letters annotate grafana-check report

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "make help-NAME says more of one, docs/commands.md of all"

# Of one: its text and its variables with their defaults.
help-%: $(RUN)
	@$(PY) -m tools.commands $*

# Installation is said on standard error, so that `make urls` prints nothing else.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; name another by PYTHON=") if sys.version_info < (3, 11) else 0'
	@echo "making $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV) >&2 || { echo "python3 -m venv failed: install the package python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(RUN): requirements/run.txt $(VENV)/pyvenv.cfg
	@echo "installing locked dependencies (about 25 s, 200 MB) …" >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt >&2
	@touch $@

$(DEV): requirements/dev.txt $(VENV)/pyvenv.cfg
	@echo "installing locked dependencies for development …" >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt >&2
	@touch $(RUN) $@

run: $(RUN) ## Run the whole product on this machine, without Docker
	@exec $(PY) -m tools.run

test: $(DEV) ## Run everything that must be green to deploy
	@$(PY) -m tools.gate

bench: $(DEV) ## Measure; prints `name value unit` and writes bench/results.json; COMPARE=other-results.json
	@$(PY) -m bench

profile: $(DEV) ## Flame graph of STAGE=pixel|enricher|rollup under load, or statements of STAGE=postgres; HITS= RATE=
	@$(PY) -m bench.profiling

soak: $(DEV) ## Send RATE=2000 hits a second for MINUTES=20 to a stack of its own; fails when memory, latency, lag or tables grow
	@$(PY) -m bench.soak

growth: $(DEV) ## Costs at 1, 10, 30 million stored hits, 1 and 40 sites, 5,000 and 200,000 pages; says what more than doubles
	@$(PY) -m bench.growth

chaos: $(RUN) ## Do faults to a stack of its own for MINUTES=20, count every hit; SEED= RATE= OUTAGE=postgres
	@exec $(PY) -m tools.chaos

deploy: $(DEV) ## Test, then put what is committed in the place of what runs: no hit is lost or refused
	@$(PY) -m tools.deploy

check: $(RUN) ## Audit the running stack: rollups, ledger, nothing stuck
	@$(PY) -m tools.check

grafana-check: $(DEV) ## Ask a running Grafana for its dashboards, panels, data sources, alerts; GRAFANA_URL=
	@$(PY) -m tools.grafana_check

audit: $(RUN) ## Report what this installation keeps, against docs/privacy.md; JSON=1
	@$(PY) -m tools.audit

rebuild: $(RUN) ## Count the days FROM=2026-11-01 TO=2026-11-07 anew; TIMEZONE=1: all, by another zone
	@$(PY) -m tools.rebuild

demo: $(RUN) ## Made-up visits beside the running stack: a history with DAYS=90 SEED=1, else live with RATE=60 MINUTES=
	@exec $(PY) -m tools.demo

replay: $(RUN) ## Send the page views of LOG=access.log through the pixel, now; SITE=
	@$(PY) -m tools.replay

renormalise: $(RUN) ## Read stored hits again by the rules of this version
	@$(PY) -m tools.renormalise

dead-letters: $(RUN) ## List what could not be stored; REPLAY=all|REASON|ID stores it after all, DROP=… empties it
	@$(PY) -m tools.dead_letters

annotate: $(RUN) ## Put TEXT=… on the curves, AT= UNTIL= SITE=; without TEXT list what is there; DROP=id
	@$(PY) -m tools.annotate

report: $(RUN) ## How it went: DAYS=7 or FROM= TO=, SITE=; JSON=1, HTML=file, MAIL=me@…, WEBHOOK=https://…
	@$(PY) -m tools.report

urls: $(RUN) ## Print the addresses of the running stack as NAME=value
	@$(PY) -m tools.urls

migrate: $(RUN) ## Bring the database at DATABASE_URL to this version
	@$(PY) -m services.migrate

lint: $(DEV) ## Check style
	@$(VENV)/bin/ruff check services tools grafana bench tests
	@$(VENV)/bin/ruff format --check services tools grafana bench tests

types: $(DEV) ## Check types
	@$(VENV)/bin/mypy

advisories: $(DEV) ## Ask PyPI for known weaknesses of the dependencies
	@$(PY) -m tools.advisories

generated: $(DEV) ## Write the files that are made from others: .env.example, tracker, dashboards, privacy.md, performance.md, commands.md
	@$(PY) -c 'from services.settings import env_example; print(env_example(), end="")' > .env.example
	@$(PY) -m tools.minify
	@$(PY) -m grafana.build
	@$(PY) -m tools.audit_catalogue
	@$(PY) -m bench.page
	@$(PY) -m tools.commands

lock: $(DEV) ## Lock dependencies anew (needs uv)
	@for extra in door pixel enricher rollup migrate run dev; do \
		uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" \
			--extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done

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

.PHONY: help run test bench profile soak growth chaos check demo rebuild replay renormalise urls migrate lint types advisories generated lock deploy audit dead-letters annotate grafana-check report doctor

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	@exec $(PY) -m tools.chaos $(foreach name,MINUTES SEED RATE OUTAGE FAULTS,$(if $($(name)),"$(name)=$($(name))"))

deploy: $(DEV) ## Test, then put what is committed in the place of what runs: no hit is lost or refused
	@$(PY) -m tools.deploy

check: $(RUN) ## Audit the running stack: rollups, ledger, nothing stuck
	@$(PY) -m tools.check

grafana-check: $(DEV) ## Ask a running Grafana for its dashboards, panels, data sources, alerts; GRAFANA_URL=
	@$(PY) -m tools.grafana_check

audit: $(RUN) ## Report what this installation keeps, against docs/privacy.md; JSON=1
	@$(PY) -m tools.audit $(if $(JSON),--json)

# By the environment and as written, as for `annotate`: addresses have signs that make and the shell read.
doctor: override export URL := $(value URL)
doctor: override export PAGE := $(value PAGE)
doctor: override export BACKUPS := $(value BACKUPS)
doctor: override export HOURS := $(value HOURS)
doctor: override export HTTP_PORT := $(value HTTP_PORT)
doctor: override export JSON := $(value JSON)
doctor: $(RUN) ## Say what goes wrong in practice and how to mend it; URL=https://pixel… PAGE=https://… BACKUPS= HOURS= JSON=1
	@$(PY) -m tools.doctor

rebuild: $(RUN) ## Count the days FROM=2026-11-01 TO=2026-11-07 anew; TIMEZONE=1: all, by another zone
	@$(PY) -m tools.rebuild $(if $(FROM),"FROM=$(FROM)") $(if $(TO),"TO=$(TO)") $(if $(TIMEZONE),"TIMEZONE=$(TIMEZONE)")

demo: $(RUN) ## Made-up visits beside the running stack: a history with DAYS=90 SEED=1, else live with RATE=60 MINUTES=
	@exec $(PY) -m tools.demo $(foreach name,DAYS SEED RATE MINUTES FORCE,$(if $($(name)),"$(name)=$($(name))"))

replay: $(RUN) ## Send the page views of LOG=access.log through the pixel
	@$(PY) -m tools.replay $(if $(LOG),"$(LOG)")

renormalise: $(RUN) ## Read stored hits again by the rules of this version
	@$(PY) -m tools.renormalise

dead-letters: $(RUN) ## List what could not be stored; REPLAY=all|REASON|ID stores it after all, DROP=… empties it
	@$(PY) -m tools.dead_letters $(if $(REPLAY),"REPLAY=$(REPLAY)") $(if $(DROP),"DROP=$(DROP)") $(if $(JSON),"JSON=$(JSON)")

# By the environment and as written: on a command line make would expand a TEXT, and the shell run what it quotes.
annotate: override export TEXT := $(value TEXT)
annotate: override export AT := $(value AT)
annotate: override export UNTIL := $(value UNTIL)
annotate: override export SITE := $(value SITE)
annotate: override export DROP := $(value DROP)
annotate: $(RUN) ## Put TEXT=… on the curves, AT= UNTIL= SITE=; without TEXT list what is there; DROP=id
	@$(PY) -m tools.annotate

report: override export DAYS := $(value DAYS)
report: override export FROM := $(value FROM)
report: override export TO := $(value TO)
report: override export SITE := $(value SITE)
report: override export JSON := $(value JSON)
report: override export HTML := $(value HTML)
report: override export MAIL := $(value MAIL)
report: override export WEBHOOK := $(value WEBHOOK)
report: override export WEBHOOK_FILE := $(value WEBHOOK_FILE)
report: override export WEBHOOK_FORMAT := $(value WEBHOOK_FORMAT)
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

generated: $(DEV) ## Write the files that are made from others: .env.example, tracker, dashboards, privacy.md, doctor.md, performance.md
	@$(PY) -c 'from services.settings import env_example; print(env_example(), end="")' > .env.example
	@$(PY) -m tools.minify
	@$(PY) -m grafana.build
	@$(PY) -m tools.audit_catalogue
	@$(PY) -m tools.doctor.document
	@$(PY) -m bench.page

lock: $(DEV) ## Lock dependencies anew (needs uv)
	@for extra in door pixel enricher rollup migrate run dev; do \
		uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" \
			--extra $$extra pyproject.toml -o requirements/$$extra.txt || exit 1; done

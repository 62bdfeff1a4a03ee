SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := .tools/uv/bin/uv
PIP_QUIET := --quiet --disable-pip-version-check
UV_QUIET := --quiet --no-config --no-cache --python $(BIN)/python
unexport PYTHONDONTWRITEBYTECODE # the tests start hundreds of processes, which share the compiled bytecode

.DEFAULT_GOAL := help
.PHONY: help install demo test test-virtual test-units-but-core test-simulations test-long test-real test-timed unit sim sim-core sim-mutants bench-limits bench-limiters bench-limiters-http bench-lanes bench-gateway bench-report gateway-batch gateway-kills gateway-hostile hostile hostile-upstream integration chaos chaos-short chart page image image-build image-test compatibility recipes workers compiled coverage mutation trace static format lint types imports docs docs-serve reference settings-page rules rules-file schemas locks clean books

help: ## list every target
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{ sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2 }'

$(UV): requirements-uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_QUIET) --upgrade --target $(@D)/.. --require-hashes -r $<
	@touch $@

# uv installs in seconds what takes pip more than a minute; but only pip reads pip's settings for an index or a proxy.
$(STAMP): requirements.lock pyproject.toml $(UV)
	@echo "installing into $(VENV) (hashed lock, about half a minute) …"
	@{ ! $(BIN)/python -m pip config list | grep -qE 'index|proxy|trusted|client-cert' && \
	    $(UV) pip install $(UV_QUIET) --compile-bytecode --require-hashes -r requirements.lock; } || \
	  { echo "with pip, and its settings: a minute or two …" && \
	    $(BIN)/python -m pip install $(PIP_QUIET) --require-hashes -r requirements.lock; }
	@$(UV) pip install $(UV_QUIET) --offline --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## create .venv with everything that development needs (requires only Python >= 3.11)

demo: $(STAMP) ## live comparison: naive workers beside Headrace on a real Kafka (LAW=chat-legacy, LEADS=60)
	@$(BIN)/headrace demo $(if $(LAW),--law $(LAW)) $(if $(LEADS),--leads $(LEADS))

test: $(STAMP) ## all tests but the long ones, on a real Kafka and Valkey that the run starts itself
	@$(BIN)/python -m tests.stages test-virtual test-real
	@$(MAKE) --no-print-directory test-timed

test-virtual: $(STAMP)
	@$(BIN)/python -m pytest -q -n auto -m 'not long' $(VIRTUAL)

# The same in two parts, side by side: with two workers each of them would collect all, ten seconds of a processor.
test-units-but-core: $(STAMP) # beside `coverage`, which runs the unit tests of the core
	@$(BIN)/python -m pytest -q -m 'not long' --ignore=tests/unit/core tests/unit examples

test-simulations: $(STAMP)
	@$(BIN)/python -m pytest -q -m 'not long' tests/property tests/simulation
VIRTUAL := tests/unit tests/property tests/simulation examples

test-long: $(STAMP) ## what takes long to prove in virtual time: more seeds and more requests than `make test` plays
	@$(BIN)/python -m pytest -q -n auto -m long $(VIRTUAL)

test-real: $(STAMP) # four at once on two cores: they wait for servers half of their time
	@$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder -m "not timed and not long" tests/chart tests/hostile tests/integration

test-timed: $(STAMP) # compares times, and so has the machine for itself
	@$(BIN)/python -m pytest -q -m timed $$(grep -rl --include='test_*.py' 'mark\.timed' tests/hostile tests/integration)

unit: $(STAMP) ## unit and property tests without the slow ones: no services, half a minute
	@$(BIN)/python -m pytest -q -n auto -m 'not slow' tests/unit tests/property examples

sim: $(STAMP) ## the whole service on virtual time, with faults at every await (SEEDS=2000, FROM=0)
	@$(BIN)/python -m tests.simulation.service.run --seeds $(or $(SEEDS),2000) --from $(or $(FROM),0) --trace

sim-core: $(STAMP) ## the core alone against a model Kafka and a model OpenAI, with faults (SEEDS=200)
	@$(BIN)/python -m tests.simulation.run --seeds $(or $(SEEDS),200)

sim-mutants: $(STAMP) ## planted faults, each of which a promise of `sim` must catch within 500 seeds
	@$(BIN)/python -m tests.simulation.service.mutants

bench-limits: $(STAMP) ## measure how well limits are used under 20 behaviours, beside two other clients: a quarter of an hour (ONLY=NAME)
	@$(BIN)/python -m benchmarks.limits $(if $(ONLY),$(ONLY:%=--only %),--json $(FIGURES) --page docs/benchmarks.md)
FIGURES := benchmarks/limits/figures.json

bench-limiters: $(STAMP) ## measure Headrace against servers drawn by seed, in virtual time: ten minutes (SEEDS=500, FROM=0, ONLY=SEED)
	@$(BIN)/python -m benchmarks.limiters $(if $(ONLY),--only $(ONLY),--seeds $(or $(SEEDS),500) --from $(or $(FROM),0))

bench-limiters-http: $(STAMP) ## measure twelve of them over HTTP too, with a real dispatcher: a quarter of an hour (SEEDS=12, FROM=0, SPAN_S=300, ONLY=SEED)
	@$(BIN)/python -m benchmarks.limiters --http $(or $(SEEDS),12) --from $(or $(FROM),0) --span $(or $(SPAN_S),300) $(ONLY:%=--only %) $(if $(JSON),--json $(JSON))

bench-lanes: $(STAMP) ## measure whether lanes keep their promises, virtual and real: a quarter of an hour (ONLY=NAME, SPAN_S=300)
	@$(BIN)/python -m benchmarks.lanes --seconds $(or $(SPAN_S),300) $(if $(ONLY),$(ONLY:%=--only %),--json $(LANES) --page docs/benchmarks-lanes.md)
LANES := benchmarks/lanes/figures.json

hostile-upstream: $(STAMP) ## a dispatcher against a server with hostile answers, beside good requests: ten minutes (ANSWERS=50000, SEED=7)
	@$(BIN)/python -m tests.hostile.upstream --answers $(or $(ANSWERS),50000) $(if $(SEED),--seed $(SEED))

integration: $(STAMP) ## kills, outages, garbage and duplicates on a real Kafka and Valkey
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/integration

chaos: $(STAMP) ## faults at random on three Kafka nodes, Valkey, processes and network: 15 s each (KILLS=200, SEED=7, HOSTILE=8 per cent)
	@$(BIN)/python -m tests.chaos run --faults $(or $(KILLS),200) $(if $(SEED),--seed $(SEED)) $(if $(HOSTILE),--hostile $(HOSTILE))

chaos-short: $(STAMP) ## a dozen of these faults in two minutes, the same each time
	@$(BIN)/python -m pytest -q -s tests/chaos

hostile: $(STAMP) ## 200,000 hostile records beside good ones, on a real Kafka: an hour, half of it at RATE=150 (SEEDS=10, RECORDS=20000)
	@$(BIN)/python -m tests.hostile.flood --seeds $(or $(SEEDS),10) --records $(or $(RECORDS),20000) --rate $(or $(RATE),60)

bench-report: $(STAMP) ## measure headrace report over a million outcomes on a real Kafka: three minutes, 3 GB of disk (OUTCOMES=1000000, BY=tenant,template, TENANTS=200)
	@$(BIN)/python -m benchmarks.report --outcomes $(or $(OUTCOMES),1000000) --by $(if $(BY),$(BY),tenant,template) --tenants $(or $(TENANTS),200)

bench-gateway: $(STAMP) ## measure the gateway beside GenerationClient: three minutes (RATE=100, SPAN_S=60, AT_ONCE=2000, STREAMS=200)
	@$(BIN)/python -m benchmarks.gateway --rate $(or $(RATE),100) --seconds $(or $(SPAN_S),60) $(AT_ONCE:%=--at-once % --latency 20) $(STREAMS:%=--streams %)

gateway-kills: $(STAMP) ## three gateways, one killed every ten seconds under the load of SDKs: two minutes (SPAN_S=60, RATE=20, LEADERS=1)
	@$(BIN)/python -m tests.gateway.kills --seconds $(or $(SPAN_S),60) --rate $(or $(RATE),20) $(if $(LEADERS),--leaders)

gateway-hostile: $(STAMP) ## hostile HTTP beside good calls: three minutes (REQUESTS=20000, IDLE=5000, SEED=1)
	@$(BIN)/python -m tests.gateway.hostile --requests $(or $(REQUESTS),20000) --idle $(or $(IDLE),5000) --seed $(or $(SEED),1)

gateway-batch: $(STAMP) ## a batch of 5,000 lines through real gateways, of which the one at work is killed, and the leader: five minutes (LINES=5000, KILLS=4)
	@$(BIN)/python -m tests.gateway_batch --lines $(or $(LINES),5000) --kills $(or $(KILLS),4)
	@$(BIN)/python -m pytest -q -n auto -m long tests/unit/gateway/batches

chart: $(STAMP) ## the Helm chart by helm itself: linted, rendered, validated against the schemas of its kinds, refusals checked
	@$(BIN)/python -m tests.chart.tools
	@$(BIN)/python -m pytest -q tests/chart

.PHONY: dashboard
dashboard: $(STAMP) ## write the chart's Grafana dashboard from the table of panels
	@$(BIN)/python helm/write_dashboard.py

trace: $(STAMP) ## one request whose leader is killed during its call, as one trace from a real OpenTelemetry Collector (needs Go): a minute
	@$(BIN)/python -m tests.tracing.otelcol
	@$(BIN)/python -m tests.tracing.failover

compatibility: $(STAMP) ## other Pythons, Debian's redis-server, the newest Kafka, kcat, the Java console producer, Node, Go, AsyncAPI, gunicorn and Celery
	@$(BIN)/python -m pytest -q -n 3 --dist loadscope --no-loadscope-reorder -m 'not long' tests/compatibility

books: $(STAMP) ## 5,000 mixed calls through two failovers: totals, results and the simulated server's books agree by every name: two minutes
	@$(BIN)/python -m pytest -q -s -m long tests/integration/test_spending_books.py

workers: $(STAMP) ## the sync client under gunicorn and Celery's prefork pool, 2,000 requests, workers recycled and killed; a minute
	@$(BIN)/python -m pytest -q -s -m long tests/compatibility/test_workers.py

recipes: $(STAMP) ## the recipes of examples/recipes with FastAPI, Django and Celery, which it installs into .tools: half a minute
	@$(BIN)/python -m pytest -q tests/compatibility/test_recipes.py

.PHONY: gateway-sdks
gateway-sdks: $(STAMP) ## OpenAI's SDKs for Node and Go, older ones, LangChain, instructor and curl on a real gateway: minutes, most of them Go's compiler
	@$(BIN)/python -m pytest -q tests/gateway_sdks

page: $(STAMP) ## the live page in Chromium on real services: scenes, axe, hostile documents, cost; ten minutes (as root on Debian installs chromium; ONLY=SCENE, PICTURES=FOLDER)
	@$(BIN)/python -m tests.page $(ONLY:%=--only %) $(if $(PICTURES),--pictures $(PICTURES))

image: image-build image-test ## Dockerfile and compose.yaml: built, linted, run and stopped (root on Debian; installs buildah, podman)

image-build: $(STAMP)
	@$(BIN)/python -m tests.image.build

image-test: $(STAMP)
	@$(BIN)/python -m pytest -q -s tests/image

compiled: $(STAMP) ## the core compiled by mypyc (needs a C compiler): built, and compared with the interpreted one step by step
	@$(BIN)/python -m tests.compiled.build
	@$(BIN)/python -m pytest -q -s tests/compiled

coverage: $(STAMP) ## the core's unit tests, and branch coverage of each module by its own test module: 100 %
	@$(BIN)/python -m tests.maxi_cov

mutation: $(STAMP) ## mutation tests where a fault could lose or duplicate leads (ONLY=outbox, FAR=1, JSON=FILE)
	@$(BIN)/python -m tests.mutation $(ONLY:%=--only %) $(if $(FAR),--far) $(if $(JSON),--json $(JSON)) --verbose

static: lint types imports ## lint, types and imports

format: $(STAMP) ## write the canonical format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix-only --quiet .

lint: $(STAMP) ## format and lint, read only
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(STAMP) ## mypy strict on packages and tests
	@$(BIN)/mypy

imports: $(STAMP) ## the import contracts of pyproject.toml
	@$(BIN)/lint-imports

# The site has an environment of its own: what draws pages is no part of what is tested.
SITE := .tools/site
$(SITE)/.installed: docs/site/site.lock $(UV)
	@$(PYTHON) -m venv --clear $(SITE)
	@{ ! $(BIN)/python -m pip config list | grep -qE 'index|proxy|trusted|client-cert' && \
	    $(UV) pip install $(UV_QUIET:$(BIN)/python=$(SITE)/bin/python) --compile-bytecode --require-hashes -r $<; } || \
	  $(SITE)/bin/python -m pip install $(PIP_QUIET) --require-hashes -r $<
	@touch $@

docs: $(SITE)/.installed ## build the docs site into .site/, offline; a broken link, anchor or picture fails
	@$(SITE)/bin/python docs/site/build.py

docs-serve: $(SITE)/.installed ## serve the docs site on this machine, and follow changes of the pages (PORT=8090)
	@$(SITE)/bin/python docs/site/build.py --serve --port $(or $(PORT),8090)

settings-page: $(STAMP) ## write docs/settings.md and the chart's schema of `config` from the code
	@$(BIN)/python docs/generate_settings.py
	@$(BIN)/python helm/write_config_schema.py

reference: settings-page ## write all reference pages from the code: settings, verbs, metrics, schemas
	@for name in cli metrics schemas; do $(BIN)/python docs/generate_$$name.py || exit; done

rules: $(STAMP) ## the alerts by promtool, then every rule and panel by a real Prometheus under load: ten minutes (BROKEN=1: the broken set-ups)
ifdef BROKEN
	@$(BIN)/python -m tests.rules.broken_setups
else
	@$(BIN)/python -m pytest -q -n 2 tests/rules
	@$(BIN)/python -m tests.rules.live
endif

rules-file: $(STAMP) ## write helm/headrace/files/rules.yaml, the alerts of Prometheus, from the tables of panels and alerts
	@$(BIN)/python helm/write_rules.py

schemas: $(STAMP) ## write schemas/json from the code; refuses a breaking change
	@$(BIN)/python -c "from headrace.schemas.export import release_schemas; release_schemas()"

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
locks: $(UV) ## write the lock files; locked versions stay unless they must change
	@$(LOCK) --all-extras --group dev pyproject.toml -o requirements.lock
	@$(LOCK) -c requirements.lock --extra server --extra otel pyproject.toml -o requirements-runtime.lock
	@echo 'hatchling>=1.27' | $(LOCK) -c requirements.lock - -o requirements-build.lock
	@echo 'uv' | $(LOCK) - -o requirements-uv.lock
	@printf '%s\n' celery flask gunicorn | $(LOCK) -c requirements.lock - -o tests/compatibility/workers.lock
	@printf '%s\n' furo myst-parser 'pagefind[bin]' 'sphinx<9.1' | $(LOCK) - -o docs/site/site.lock
	@printf '%s\n' langchain-openai instructor | $(LOCK) - -o tests/gateway_sdks/python/frameworks.lock
	@for below in 2 3; do echo "openai<$$below" | $(LOCK) - -o tests/gateway_sdks/python/openai$$((below - 1)).lock; done
	@printf '%s\n' celery django fastapi httpx standardwebhooks | $(LOCK) -c requirements.lock - -o tests/compatibility/recipes.lock

clean: ## remove the environment, caches and compiled modules
	@rm -rf $(VENV) .site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .mutation .tools/compiled
	@rm -f *__mypyc*.so && find broker -name '*.so' -delete

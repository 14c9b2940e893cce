# The commands of this project. Paths are relative, so a folder with a space in its name
# works; recipes need only python3 (3.11 or newer, with venv) and make.

.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
export UV_PROJECT_ENVIRONMENT := .venv
# The system's certificates, and the installed Python.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
export UV_LINK_MODE := copy
ARGS ?=
# One more than the cores of CI: many tests wait for processes that they started.
WORKERS ?= 3
PROVE ?= tests/unit tests/faults tests/architecture/test_wheels.py tests/integration/deploy \
  tests/integration/postgres/test_lists_of_many.py \
  tests/integration/test_generated_client.py tests/integration/test_guarded_apps.py
# The minimum for `make fuzz`: requests, and inputs of readers.
CASES ?= 500
INPUTS ?= 100000
SEED ?= 1
MATRIX ?= tests/integration tests/faults
SBOM ?= dist/sbom.cdx.json
# The tests that reach the core and the adapters in their own process: in services and
# sandboxes that others start, coverage would see little, and slow everything down.
COVER ?= $(filter-out $(addprefix tests/unit/test_,crash_schedules% histories% sandbox_% year%), \
    $(wildcard tests/unit/test_*.py)) \
  tests/unit/ingest_queue \
  tests/unit/test_crash_schedules.py::test_p22_p23_p29_f01_two_breaks_leave_one_truth \
  tests/integration/postgres tests/integration/test_event_bodies.py \
  $(wildcard tests/integration/test_*gateway*.py) tests/integration/test_migrations.py \
  tests/integration/test_worker.py tests/integration/cli/test_db_commands.py \
  tests/integration/cli/test_service_start.py tests/integration/cli/test_stripe_commands.py \
  tests/integration/cli/test_payment_commands.py tests/integration/test_reconcile_command.py \
  tests/unit/test_histories.py::test_an_event_costs_few_gets_where_none_is_lost \
  tests/integration/test_setups_at_once.py tests/integration/test_account_data.py \
  tests/integration/test_webhook_sender.py \
  tests/integration/test_account_import_command.py tests/faults/doctor \
  tests/integration/test_event_back_fill.py tests/integration/cli/test_webhook_commands.py \
  tests/faults/test_poison_among_many.py tests/faults/test_lost_and_found.py \
  tests/unit/test_histories.py::test_p26_p27_f39_f40_f41_after_a_sweep_all_is_known[0] \
  tests/unit/test_crash_schedules.py::test_p22_p23_p29_f01_one_break_anywhere_leaves_one_truth[end-freeze]

.PHONY: help install openapi metrics run demo test test-matrix coverage check prove fuzz bench image-check sbom release-check format clean

help: ## Say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort

# Installed again when a dependency or a member changes; a uv in .venv stays.
.venv/.installed: uv.lock pyproject.toml core/pyproject.toml adapters/pyproject.toml \
  adapters/client/pyproject.toml entrypoints/sandbox/pyproject.toml entrypoints/service/pyproject.toml
	@sh .ci/install "$(PYTHON)" "$(UV_VERSION)"

install: .venv/.installed ## Install everything into .venv

run: .venv/.installed ## Run the service, an embedded Postgres, a fake Stripe (ARGS="--fresh")
	@exec sh .ci/attend .venv/bin/payments dev $(ARGS)

demo: .venv/.installed ## Play a year of one user
	@exec sh .ci/attend .venv/bin/payments dev --demo

test: .venv/.installed ## Run the tests (ARGS="-k name")
	@.venv/bin/python -m pytest -n $(WORKERS) $(ARGS)

# About two and a half times as slow as without: not a part of `make test`. Less than
# `fail_under` of pyproject.toml is a failure.
coverage: .venv/.installed ## Fail if the tests take too few branches of core and adapters
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest -n $(WORKERS) $(COVER) $(ARGS)
	@.venv/bin/coverage combine --quiet
	@.venv/bin/coverage report

check: .venv/.installed ## Format, lint, types, imports, the core alone
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/hadolint deploy/Dockerfile
	@.venv/bin/python tests/architecture/core_alone.py

prove: .venv/.installed ## Run properties, schedules and faults with many more cases
	@HYPOTHESIS_PROFILE=prove .venv/bin/python -m pytest -n $(WORKERS) --timeout 7200 $(PROVE) $(ARGS)

fuzz: .venv/.installed ## Send INPUTS to our readers, and CASES requests to a service
	@PYTHONPATH=tests .venv/bin/python -m fuzz.inputs --inputs $(INPUTS) --seed $(SEED)
	@PAYMENTS_LOG_LEVEL=warning PYTHONPATH=tests .venv/bin/python -m fuzz.run --cases $(CASES) --seed $(SEED) $(ARGS)

bench: .venv/.installed ## Measure ingest and reads beside their limits, the sandbox, the client, tokens, a pooler
	@.venv/bin/python -m benchmarks $(ARGS)
	@.venv/bin/python -m benchmarks.sandbox
	@.venv/bin/python -m benchmarks.client
	@.venv/bin/python -m benchmarks.tokens
	@PYTHONPATH=tests .venv/bin/python -m benchmarks.pooler

release-check: .venv/.installed ## Build the distributions, install them elsewhere, run the examples
	@.venv/bin/python tests/architecture/release_check.py

# It prints which versions are not available, and why: `ARGS="--only 15 16"` selects
# some.
test-matrix: .venv/.installed ## Run MATRIX through PgBouncer, and on PostgreSQL 15, 16, 17, 18
	@PYTHONPATH=tests .venv/bin/python -m support.matrix --workers $(WORKERS) $(MATRIX) $(ARGS)

# As root, with buildah, mmdebstrap and a Debian mirror; without them it prints what is
# missing.
image-check: .venv/.installed ## Run the Dockerfile here, and what it makes as a cluster would
	@HYPOTHESIS_PROFILE=prove .venv/bin/python -m pytest -n 0 tests/integration/test_image.py $(ARGS)

sbom: .venv/.installed ## Write dist/sbom.cdx.json: what the image installs (SBOM=path)
	@.ci/sbom "$(SBOM)"

openapi: .venv/.installed ## Write docs/openapi.json anew
	@PYTHONPATH=tests .venv/bin/python -m support.openapi_document

metrics: .venv/.installed ## Write docs/metrics.md anew
	@PYTHONPATH=tests .venv/bin/python -m support.metrics_document

format: .venv/.installed ## Format and mend what can be mended
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

clean: ## Remove what was installed and built; data in .payments stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs a named step in the project's environment, which is made when it is first needed.
STEP := python3 tests/tools/step.py
# The same step with the lowest ansible-core that the collection supports.
OLDEST := ANSIBLE_CORE=oldest $(STEP)
LAB := tests/lab/lab

.PHONY: help test checks lint unit sanity package integration longer demo bench matrix fuzz lab lab-down lab-status format lock clean
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Everything: lint, unit, sanity, package, then integration
	@$(MAKE) --no-print-directory checks
	@$(MAKE) --no-print-directory integration

.PHONY: ruff-format ruff mypy ansible-lint docs changelog reuse
checks: ## All of it that needs no laboratory, two at a time; goes on after a failure and fails at the end
	@$(MAKE) --no-print-directory --keep-going --jobs=2 lint unit sanity package

lint: ruff-format ruff mypy ansible-lint docs changelog reuse ## Formatter, linters, types, documentation
ruff-format:
	@$(STEP) "ruff format" ruff format --quiet --check .
ruff:
	@$(STEP) "ruff check" ruff check --quiet --output-format concise .
mypy:
	@$(STEP) "mypy --strict" mypy plugins/module_utils tests/tools tests/lab/labkit
ansible-lint:
	@$(STEP) "ansible-lint, profile production" ansible-lint -q --nocolor
docs:
	@$(STEP) "documentation" antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
changelog:
	@$(STEP) "changelog" antsibull-changelog lint
reuse:
	@$(STEP) "licences" reuse lint --lines

# What imports without Ansible runs with the newest one, and on Python 3.9.
WITHOUT_ANSIBLE := tests/unit/plugins/module_utils
.PHONY: unit-newest unit-oldest unit-node
unit: unit-newest unit-oldest unit-node ## Unit tests on both ansible-cores, and the nodes' part on Python 3.9
unit-newest:
	@$(STEP) --last-line "unit tests, newest ansible-core" pytest
unit-oldest:
	@$(OLDEST) --last-line "unit tests, oldest ansible-core" pytest --ignore=$(WITHOUT_ANSIBLE)
unit-node:
	@$(STEP) --last-line "unit tests of the nodes' part, Python 3.9" python3 tests/tools/node_tests.py

.PHONY: sanity-newest sanity-oldest
sanity: sanity-newest sanity-oldest ## ansible-test sanity on both ansible-cores
sanity-newest:
	@$(STEP) "ansible-test sanity, newest ansible-core" python3 tests/tools/sanity.py
sanity-oldest:
	@$(OLDEST) "ansible-test sanity, oldest ansible-core" python3 tests/tools/sanity.py

.PHONY: package-newest package-oldest
package: package-newest package-oldest ## Build the collection, install it in a clean place, use it from there
package-newest:
	@$(STEP) --last-line "build, install and use, newest ansible-core" python3 tests/tools/package.py
package-oldest:
	@$(OLDEST) --last-line "build, install and use, oldest ansible-core" python3 tests/tools/package.py

SPARE_NODES := crio-c ctd-c
# Most change the nodes themselves, so they have nodes of their own and can run beside the others, and take as long. In
# these orders: the last one removes the restore runtime.
ON_SPARES := $(patsubst %,tests/integration/test_%.py,checkpoint_node_info checkpoint_guard \
  checkpoint_diagnose roles restore_playbook migrate transfer restore_runtime)
LONGER := $(patsubst %,tests/integration/test_%.py,checkpoint_preflight checkpoint_restore restore_workloads \
  restore_failures restore_from_image runtime_checkpoint move_replacement migrate_kinds migrate_options \
  migrate_preflight migrate_fallback migrate_back migrate_copy migrate_verify migrate_connections carrier \
  migrate_faults migrate_load restore_default_handler)
.PHONY: integration-nodes integration-spares
integration: ## The tests that need the laboratory; first its own, which take down one that runs
	@$(LAB) run pytest tests/lab/tests tests/lab/life
	@$(LAB) up --nodes crio-a crio-b ctd-a ctd-b $(SPARE_NODES)
	@$(MAKE) --no-print-directory --keep-going --jobs=2 integration-nodes integration-spares
integration-nodes:
	@ANSIBLE_CORE=oldest $(LAB) run pytest -m every_core tests/integration $(LONGER:%=--ignore=%)
	@$(LAB) run pytest --durations=15 tests/integration $(patsubst %,--ignore=%,$(ON_SPARES) $(LONGER))
integration-spares:
	@TEST_NODES=crio-c,ctd-c $(LAB) run pytest --durations=15 $(ON_SPARES)

demo: ## The collection at work on real kubelets
	@tests/demo/demo

bench: lab ## Figures, as tables
	@for file in tests/benchmark/*.py; do $(LAB) run python3 "$$file" || exit 1; done

longer: lab ## Three hours: real workloads, preflight, kills and reboots of everything, dumps below the CRI, migrations
	@$(LAB) up --nodes $(SPARE_NODES)
	@TEST_NODES=crio-c,ctd-c $(LAB) run pytest --durations=15 $(LONGER)

matrix: lab ## Versions of CRI-O and containerd for real, against the table; half an hour the first time
	@$(LAB) up --nodes $(SPARE_NODES)
	@$(LAB) run python3 tests/matrix/run.py

fuzz: ## Ten thousand mutations of recorded archives through the reader; minutes
	@python3 tests/tools/environment.py python3 tests/unit/plugins/module_utils/_criu/fuzz.py 10000

lab: ## Bring the laboratory up
	@$(LAB) up

lab-down: ## Take the laboratory down; nothing is left of it
	@$(LAB) down

lab-status: ## Say what runs in the laboratory
	@$(LAB) status

format: ## Format the Python files and sort their imports
	@$(STEP) "ruff check --fix" ruff check --quiet --fix .
	@$(STEP) "ruff format" ruff format --quiet .

lock: ## Pin the newest tools anew; needs uv
	@python3 tests/tools/lock.py

clean: ## Remove what the tools left in the checkout; the cache and the laboratory stay
	@rm -rf tests/output .ansible .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything is safe to repeat: what is there and up to date is left alone.
#   make run          set up all that serving needs, and serve (settings: docs/settings.md)
#   make test         set up all that the tests need, and run them all
#   make campaign     the long tests on random input; SEED=n repeats one, SECONDS=n is the time of each
#   make lint         formatting, lint, types, import layers
#   make constraints  pin the versions that are installed in .venv

bin := .venv/bin

.PHONY: run test campaign lint setup setup-dev sandbox constraints

run: setup sandbox
	@exec $(bin)/tools-runtime serve

test: setup-dev sandbox
	$(bin)/pytest -n 2 --dist loadfile --reruns 1 -rR  # docs/decisions/0023-a-failure-is-tried-again.md

campaign: setup-dev sandbox
	$(bin)/pytest -m campaign --timeout 0 --campaign-seconds $(or $(SECONDS),120) $(if $(SEED),--campaign-seed $(SEED))

lint: setup-dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

setup:
	@sh .ci/setup.sh run

setup-dev:
	@sh .ci/setup.sh dev

# Without a Docker Engine everything but code_interpreter works, so its absence stops nothing.
sandbox: setup
	@if [ "$$TOOLS_RUNTIME_SANDBOX" != none ]; then \
	  sh sandbox/engine.sh && $(bin)/python -m sandbox build || echo "sandbox: code_interpreter will be refused"; \
	fi

constraints:
	@sed -i '/^[^#]/d' .ci/constraints.txt
	@$(bin)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >>.ci/constraints.txt

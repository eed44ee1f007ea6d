PYTHON ?= python3
VENV := .venv/bin

.PHONY: lock
LOCK := uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header --no-emit-index-url --no-emit-find-links
lock:
	$(VENV)/$(LOCK) --extra dev -o requirements/dev.txt
	for part in api worker flower run; do \
	  $(VENV)/$(LOCK) --extra $$part -c requirements/dev.txt -o requirements/$$part.txt || exit 1; done

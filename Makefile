## make book     build the book and print the address of its first page
## make test     run every check; offline once .venv is made
## make claims   run every chapter at full size on the CPU and check its claims
## make serve    show the built book on localhost; PORT=8000
## make pdf      print the whole book into one PDF
## make format   bring code and notebooks into their normal form
## make clean    remove what was built, but keep .venv

# For GNU make 3.81 and later: Linux, macOS, and Git Bash on Windows.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif
PY := $(BIN)/python
PORT ?= 8000
READY := .venv/.ready

.PHONY: help book test claims serve pdf format clean

help:
	@sed -n 's/^## //p' Makefile

book: $(READY)
	$(BIN)/jupyter-book build --all -W -n --keep-going .
	@$(PY) book/check.py

# Tests see neither your data nor your settings, and each notebook has one thread.
test: export RNNLIB_SCALE = smoke
test: export RNNLIB_DATA =
test: export RNNLIB_RESULTS = $(CURDIR)/.cache/results
test: export RNNLIB_CACHE = $(CURDIR)/.cache/data
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: export MKL_NUM_THREADS = 1
test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib
	$(PY) -m pytest -n 2 --dist loadfile tests
	$(PY) -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env \
		--nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout 120 notebooks/*.ipynb

claims: $(READY)
	@bad=0; for chapter in notebooks/*.ipynb; do \
		$(PY) -m rnnlib run "$$(basename "$$chapter" .ipynb)" --scale cpu || bad=1; \
	done; exit $$bad

serve: _build/html/index.html
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

_build/html/index.html:
	$(MAKE) book

pdf: $(READY)
	$(PY) book/pdf.py

format: $(READY)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(PY) -m rnnlib format

clean:
	rm -rf _build .cache .hypothesis .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("This needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another, as in make book PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks its venv module: on Debian and Ubuntu run apt-get install python3-venv, or see README.md, Without make" >&2; exit 1; }
	@echo "Making .venv; this takes a minute or more and about 1.5 GB"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[run,book,test]"
	@$(PY) -c 'open("$(READY)", "w").close()'

# Everything runs in .venv; `make setup` is implied by the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRA ?= test
SETUP := $(VENV)/.setup-$(EXTRA)
MINI := work_dirs/mini
# ONNX Runtime for browsers: its version, the files of it that the page loads, and where.
ORT_WEB := 1.30.0
ORT_WEB_FILES := ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm
ORT_WEB_FOLDER := examples/browser/ort
# Workers of pytest-xdist; the tests themselves use one thread each then. Each file stays with one worker, so that
# its servers, browsers and trained models are made once.
JOBS ?= 2

# MkDocs Material announces its successor at each build.
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: setup demo test test-full check format docs browser clean

setup: $(SETUP)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "swinseg needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)

$(SETUP): $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRA)]'
	touch $@

# Draw the mini dataset, train on it, evaluate, and write masks.
demo: $(SETUP)
	$(BIN)/python -m swinseg prepare mini --out data/mini
	rm -rf $(MINI)
	$(BIN)/python tools/train.py configs/upernet_swin_t_mini.py --work-dir $(MINI)
	$(BIN)/python tools/test.py configs/upernet_swin_t_mini.py $(MINI)/best_*.pth --out $(MINI)/test
	$(BIN)/python tools/segment.py $(MINI)/best_*.pth data/mini/images/validation --out $(MINI)/masks
	@echo
	@echo "checkpoint:     $$(ls $(MINI)/best_*.pth)"
	@echo "curves:         $(MINI)/curves.png"
	@echo "evaluation:     $(MINI)/test"
	@echo "masks:          $(MINI)/masks (*_overlay.png, *_color.png, *_labels.png)"

test: $(SETUP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0

# With the cases that take minutes, or that others stand for.
test-full: export SWINSEG_TEST_FULL := 1
test-full: test

check:
	$(MAKE) EXTRA=dev setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/mypy
	# Windows has fewer functions of the system, which the types know.
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --quiet

format:
	$(MAKE) EXTRA=dev setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site, into build/site.
docs:
	$(MAKE) EXTRA=dev setup
	$(BIN)/mkdocs build

# What the page of examples/browser computes with.
browser: $(ORT_WEB_FOLDER)/$(ORT_WEB)

$(ORT_WEB_FOLDER)/$(ORT_WEB):
	npm install --silent --no-save --no-package-lock --prefix build/browser onnxruntime-web@$(ORT_WEB)
	rm -rf $(ORT_WEB_FOLDER)
	mkdir -p $(ORT_WEB_FOLDER)
	cd build/browser/node_modules/onnxruntime-web/dist && cp $(ORT_WEB_FILES) $(CURDIR)/$(ORT_WEB_FOLDER)
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info work_dirs data/mini $(ORT_WEB_FOLDER)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo   installs into .venv, trains on the embedded digits, completes, samples, evaluates, completes a photograph:
#             two to three minutes
# make test   installs into .venv and passes the tests
PYTHON ?= python3
BIN = .venv/bin
RUN = $(BIN)/pixelrnn
# Chelsea the cat, by Stéfan van der Walt (CC0), comes with scikit-image.
PHOTO = .venv/lib/python3*/site-packages/skimage/data/chelsea.png
SUDO = $(shell [ `id -u` = 0 ] || command -v sudo)

.PHONY: demo test test-browser crash-test soak fuzz slow-test gpu-test gpu-check lint types docs benchmark size clean
.DEFAULT_GOAL := demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"pixelrnn needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/installed
	$(RUN) train experiment=demo hydra.run.dir=outputs/demo
	$(RUN) complete checkpoint=outputs/demo hydra.run.dir=outputs/demo
	$(RUN) sample checkpoint=outputs/demo hydra.run.dir=outputs/demo
	$(RUN) evaluate checkpoint=outputs/demo occlusion=half hydra.run.dir=outputs/demo
	$(RUN) complete image=$$(ls $(PHOTO)) occlusion=strokes occlusion.count=8 occlusion.thickness=0.008 hydra.run.dir=outputs/demo/photo
	@echo
	@echo "Three pictures to open:"
	@echo "  outputs/demo/completions.png        digits whose lower half the new model completed"
	@echo "  outputs/demo/samples.png            digits that it drew from scratch"
	@echo "  outputs/demo/photo/completions.png  a scratched photograph, completed by the bundled model photos"

test: .venv/installed
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not browser" --nbmake tests $(wildcard notebooks/1_*.ipynb)

# Tests the page in Debian's headless Chromium, and installs Chromium if it is missing.
test-browser: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	command -v chromium || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }
	$(BIN)/pytest -m browser

# Kills a training run fifty times; sends two thousand requests to the page; reads mutated files for ten minutes.
crash-test: .venv/installed
	$(BIN)/python -m stress.crash kills=50

soak: .venv/installed
	$(BIN)/python -m stress.soak requests=2000

fuzz: .venv/installed
	$(BIN)/python -m stress.fuzz minutes=10

# Runs all notebooks, and evaluates a hundred test images of each bundled model. Set $$PIXELRNN_DATA and $$PIXELRNN_PHOTOS
# to the folders of the data and of the photographs, and $$PIXELRNN_ARRAY to the file cifar10.npz (its card).
slow-test: .venv/installed
	$(BIN)/pytest -m slow
	$(BIN)/pytest --nbmake notebooks

gpu-test: .venv/installed
	$(BIN)/pytest -m gpu

# Checks everything that runs on a GPU, and measures it, in about two minutes and a half.
gpu-check: .venv/installed
	$(BIN)/python -m tools.gpu_check limit=150

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy pixelrnn

docs: .venv/installed
	$(BIN)/python docs/make_api.py

benchmark: .venv/installed
	$(BIN)/python -m benchmarks --table docs/results.md

# Lines, long functions, and how much of the package one command runs.
size: .venv/installed
	$(BIN)/python -m benchmarks.size

clean:
	rm -rf .venv

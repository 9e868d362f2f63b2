# The Python package in python/. Included by the Makefile.

.PHONY: wheel test-python

HATCHLING := $(CACHE)/tools/hatchling-$(shell sed -n 's/.*"hatchling==\([0-9.]*\)".*/\1/p' python/pyproject.toml)
$(HATCHLING):
	PIP_ROOT_USER_ACTION=ignore "$(PYTHON)" -m pip install --quiet --disable-pip-version-check --target "$@" \
	    hatchling==$(lastword $(subst -, ,$@)) packaging

# The library inside is built without llama.cpp, so nothing of C++ is needed. The folder has this wheel alone.
WHEELS := $(CARGO_TARGET_DIR)/wheels
wheel: $(HATCHLING) ## build the Python package's wheel, with the plugin inside
	@rm -rf "$(WHEELS)"
	cd python && PYTHONPATH="$(HATCHLING)" "$(PYTHON)" -m hatchling build --target wheel --directory "$(WHEELS)"

# Twice: in a new environment that has nothing but what the wheel asks for, and beside llama-cpp-python, transformers and
# PyTorch (some GB, fetched once). The tests' folder is copied, so that python/sda is nowhere on the path.
WHEEL_VENV := $(CARGO_TARGET_DIR)/wheel-venv
WHEEL_TESTS := $(CARGO_TARGET_DIR)/wheel-tests
WHEEL_PYTEST = cd "$(WHEEL_TESTS)" && SDA_ROOT="$(CURDIR)" SDA_WHEELS="$(WHEELS)" OMP_WAIT_POLICY=passive
test-python: wheel build llama-cpp-python ## test the Python package, with the real llama-cpp-python and transformers
	rm -rf "$(WHEEL_TESTS)" && cp -R python/tests "$(WHEEL_TESTS)"
	"$(PYTHON)" -m venv --clear "$(WHEEL_VENV)"
	"$(WHEEL_VENV)/bin/pip" install --quiet --disable-pip-version-check "$(WHEELS)"/*.whl \
	    $$(grep -E '^pytest=' python/tests/requirements.txt)
	$(WHEEL_PYTEST) "$(WHEEL_VENV)/bin/python" -m pytest test_abi.py test_kernel.py test_wheel.py
	"$(LLAMA_CPP_PYTHON_VENV)/bin/pip" install --quiet --disable-pip-version-check -r python/tests/requirements.txt
	"$(LLAMA_CPP_PYTHON_VENV)/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$(WHEELS)"/*.whl
	model="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" && $(WHEEL_PYTEST) SDA=$(SDA) SDA_TEST_MODEL="$$model" \
	    "$(LLAMA_CPP_PYTHON_VENV)/bin/python" -m pytest --ignore test_abi.py --ignore test_kernel.py --ignore test_wheel.py

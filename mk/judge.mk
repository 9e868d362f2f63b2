# A judge behind a real server. Included by the Makefile.

.PHONY: test-judge-server

# The model's path can be given from outside.
test-judge-server: build ## serve the default model with llama.cpp's server, and let it judge
	@model="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" && scripts/test-judge-server.sh $(SDA) "$$model"

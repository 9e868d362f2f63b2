# llama.cpp on devices and on other machines. Included by the Makefile.

.PHONY: test-rpc run-test-rpc

# The same tests as any device would have; the models' paths can be given from outside.
DEVICE_TESTS = smollm2="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" && gemma="$${SDA_TEST_MODEL_GEMMA:-$$($(FETCH) gemma)}" && \
    export SDA_TEST_MODEL="$$smollm2" SDA_TEST_MODEL_GEMMA="$$gemma" && set -x && \
    $(RUN) "$(CARGO)" test --release --locked --features bundled,judge$(BACKEND_TOO) --test bundled $(TESTFLAGS)

test-rpc: ## share a model between two of llama.cpp's RPC servers on the loopback interface, and lose one
	@$(MAKE) BACKEND=rpc run-test-rpc

run-test-rpc: build
	@export SDA_TEST_RPC_COMMAND=$(SDA) && $(DEVICE_TESTS) rpc:: -- --ignored --nocapture --test-threads 1 \
	    --skip a_server_that_others_start

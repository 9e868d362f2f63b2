# llama.cpp on devices and on other machines. Included by the Makefile.

.PHONY: test-vulkan run-test-vulkan test-rpc run-test-rpc

# The same tests as any device would have; the models' paths can be given from outside.
DEVICE_TESTS = smollm2="$${SDA_TEST_MODEL:-$$($(FETCH) smollm2)}" && gemma="$${SDA_TEST_MODEL_GEMMA:-$$($(FETCH) gemma)}" && \
    export SDA_TEST_MODEL="$$smollm2" SDA_TEST_MODEL_GEMMA="$$gemma" && set -x && \
    $(RUN) "$(CARGO)" test --release --locked --features bundled,judge$(BACKEND_TOO) --test bundled $(TESTFLAGS)

# Mesa's lavapipe computes on the CPU and is slow; ggml takes such a driver only where it is named. Of others,
# GGML_VK_VISIBLE_DEVICES names one. The first run builds llama.cpp with its shaders, which takes a quarter of an hour on
# two cores.
test-vulkan: ## compare answers of the Vulkan backend with the CPU's, on Mesa's lavapipe where there is no GPU
	@$(MAKE) BACKEND=vulkan run-test-vulkan

run-test-vulkan: export GGML_VK_VISIBLE_DEVICES ?= 0
run-test-vulkan: build
	$(SDA) generate --list-devices
	@$(SDA) generate --list-devices | grep -q Vulkan0 || \
	    { echo 'error: no Vulkan device: install a driver, such as mesa-vulkan-drivers' >&2; exit 1; }
	@$(DEVICE_TESTS) devices:: -- --ignored --nocapture --test-threads 1

test-rpc: ## share a model between two of llama.cpp's RPC servers on the loopback interface, and lose one
	@$(MAKE) BACKEND=rpc run-test-rpc

run-test-rpc: build
	@export SDA_TEST_RPC_COMMAND=$(SDA) && $(DEVICE_TESTS) rpc:: -- --ignored --nocapture --test-threads 1 \
	    --skip a_server_that_others_start

# The example hosts, with a shared llama.cpp that is not the one inside this crate's library. Included by
# the Makefile.

.PHONY: hosts test-hosts test-old-llama test-llama-cpp-python

test-hosts: setup ## run the example hosts, which must say the same token for token
	$(RUN) scripts/test-hosts.sh

hosts: setup ## build the example hosts in C and C++, print how to run them
	$(RUN) scripts/build-hosts.sh "$(CARGO_TARGET_DIR)/hosts"

test-old-llama: setup ## run the example hosts on five older releases of llama.cpp
	$(RUN) scripts/test-old-llama.sh

test-llama-cpp-python: setup ## install llama-cpp-python and steer in its sampler chain
	$(RUN) scripts/test-llama-cpp-python.sh

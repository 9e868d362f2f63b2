# Fuzzing with libFuzzer. Included by the Makefile.

.PHONY: fuzz

CARGO_FUZZ := $(CACHE)/tools/cargo-fuzz-0.13.1
$(CARGO_FUZZ):
	env -u CARGO_TARGET_DIR "$(CARGO)" install --quiet --locked --root "$@" cargo-fuzz --version $(lastword $(subst -, ,$@))

# Seconds for each target.
SECONDS ?= 60
# Only these.
FUZZ ?= steer judge_reply judge_prompt template chat_history json_lines trace plot

# What reads C's pointers is built with AddressSanitizer, which needs RUSTC_BOOTSTRAP on a stable compiler. The rest is
# safe Rust, and several times faster without. The command's targets have llama.cpp inside.
FUZZ_ASAN := steer
FUZZ_COMMAND := json_lines trace plot
FUZZ_JSON := judge_reply $(FUZZ_COMMAND)

FUZZ_DIR := $(CARGO_TARGET_DIR)/fuzz
fuzz_flags = $(if $(filter $(1),$(FUZZ_ASAN)),-s address --target-dir "$(FUZZ_DIR)/asan",-s none --target-dir "$(FUZZ_DIR)") \
    $(if $(filter $(1),$(FUZZ_COMMAND)),--features command)
fuzz_dict = $(addprefix -dict=dictionaries/,$(if $(filter $(1),$(FUZZ_JSON)),json.dict,$(if $(filter $(1),template),template.dict)))

# New inputs are kept in the target folder, and a next run begins with them; an input that fails is in artifacts/. What
# a target may take: 5 s for an input, 1 GiB in all.
fuzz: setup $(CARGO_FUZZ) ## run each fuzz target for some time (SECONDS=60, FUZZ='TARGET...')
	@cd fuzz && export PATH="$(CARGO_FUZZ)/bin:$$PATH" && $(foreach target,$(FUZZ), \
	    echo '== $(target)' && mkdir -p "$(FUZZ_DIR)/corpus/$(target)" "$(FUZZ_DIR)/artifacts" && \
	    $(if $(filter $(target),$(FUZZ_ASAN)),RUSTC_BOOTSTRAP=1) RUSTFLAGS='$(RUSTFLAGS)' "$(CURDIR)/scripts/tools.sh" run \
	        "$(CARGO)" fuzz run $(call fuzz_flags,$(target)) $(target) \
	        "$(FUZZ_DIR)/corpus/$(target)" seeds/$(patsubst plot,trace,$(target)) -- -max_total_time=$(SECONDS) -timeout=5 -rss_limit_mb=1024 \
	        -max_len=4096 -print_final_stats=1 -artifact_prefix="$(FUZZ_DIR)/artifacts/$(target)-" \
	        $(call fuzz_dict,$(target)) >"$(FUZZ_DIR)/$(target).log" 2>&1 || \
	        { tail -n 40 "$(FUZZ_DIR)/$(target).log"; exit 1; } && \
	    grep ' cov: ' "$(FUZZ_DIR)/$(target).log" | tail -n 1 && \
	    grep number_of_executed_units "$(FUZZ_DIR)/$(target).log" &&) true

# What packagers get from cargo-c. Included by the Makefile.

.PHONY: test-capi

CARGO_C := $(CACHE)/tools/cargo-c-0.10.24
$(CARGO_C):
	env -u CARGO_TARGET_DIR "$(CARGO)" install --quiet --locked --root "$@" cargo-c --version 0.10.24+cargo-0.98.0

CAPI := $(CARGO_TARGET_DIR)/capi
# The same files but for the CMake package, and the name of the shared library's own file, which for cargo-c holds the ABI's
# number alone. The .pc files say the same, with other paths: that of `make install` can be moved.
capi_files = (cd "$(1)" && find . ! -type d ! -path '*/cmake/*' | sed 's/\.so\.2\.[0-9.]*$$/.so.2.*/' | sort)
capi_soname = readelf -d "$(1)/lib/triplet/libsda.so" | grep SONAME
pc = PKG_CONFIG_PATH="$(1)/lib/triplet/pkgconfig" pkg-config --define-variable=pcfiledir="$(1)/lib/triplet/pkgconfig" \
    --define-variable=prefix="$(1)" --define-variable=libdir="$(1)/lib/triplet" --define-variable=includedir="$(1)/include" sda
capi_pc = { $(pc) --modversion && $(pc) --cflags --libs --static; } | sed 's:$(1):PREFIX:g'
capi_same = $(call $(1),$(TREE)) >"$(CAPI).expected" && $(call $(1),$(CAPI)/sda) | diff "$(CAPI).expected" -

test-capi: tree $(CARGO_C) ## check that cargo-c installs what `make install` does
	rm -rf "$(CAPI)"
	env -u RUSTFLAGS PATH="$(CARGO_C)/bin:$$PATH" CARGO_TARGET_DIR="$(PLUGIN_TARGET_DIR)/capi" "$(CARGO)" cinstall --release --locked \
	    -p sda-capi --destdir "$(CAPI)" --prefix /sda --libdir /sda/lib/triplet
	diff -r "$(TREE)/include" "$(CAPI)/sda/include"
	@$(call capi_same,capi_files)
	@$(call capi_same,capi_soname)
	@$(call capi_same,capi_pc)
	SDA_PLUGIN_LIB="$(CAPI)/sda/lib/triplet/libsda.so" "$(CARGO)" test --locked --test symbols $(TESTFLAGS)

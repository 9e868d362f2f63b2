# What packagers get from cargo-c. Included by the Makefile.

.PHONY: test-capi

CARGO_C := $(CACHE)/tools/cargo-c-0.10.24
$(CARGO_C):
	env -u CARGO_TARGET_DIR "$(CARGO)" install --quiet --locked --root "$@" cargo-c --version 0.10.24+cargo-0.98.0

CAPI := $(CARGO_TARGET_DIR)/capi
test-capi: tree $(CARGO_C) ## check that cargo-c installs what `make install` does
	rm -rf "$(CAPI)"
	env -u RUSTFLAGS PATH="$(CARGO_C)/bin:$$PATH" CARGO_TARGET_DIR="$(PLUGIN_TARGET_DIR)/capi" "$(CARGO)" cinstall --release --locked \
	    -p sda-capi --destdir "$(CAPI)" --prefix /sda --libdir /sda/lib/triplet
	diff -r "$(TREE)/include" "$(CAPI)/sda/include"
	version() { PKG_CONFIG_PATH="$$1/lib/triplet/pkgconfig" pkg-config --modversion sda; } && \
	    test "$$(version "$(TREE)")" = "$$(version "$(CAPI)/sda")"
	SDA_PLUGIN_LIB="$(CAPI)/sda/lib/triplet/libsda.so" "$(CARGO)" test --locked --test symbols $(TESTFLAGS)

# What packagers make. Included by the Makefile.

.PHONY: test-package deb test-deb

test-package: test-capi test-deb ## make the packages of cargo-c and Debian, and look at what is inside

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# Built beside a copy of the sources, since dpkg-buildpackage writes into the folder and above it.
DEB := $(CARGO_TARGET_DIR)/deb
deb: ## build the Debian packages libsda2, libsda-dev and sda
	rm -rf "$(DEB)"
	mkdir -p "$(DEB)/sda"
	git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$(DEB)/sda"
	cd "$(DEB)/sda" && dpkg-buildpackage --build=binary --no-sign

# For this machine's CPU and without LTO, so that what is built already serves. The packages are unpacked, not installed.
DEB_ROOT := $(DEB)/root
test-deb: setup tree
	PORTABLE= SDA_COMMAND=build PLUGIN_TARGET_DIR="$(PLUGIN_TARGET_DIR)" "$(MAKE)" deb >"$(CARGO_TARGET_DIR)/deb.log" 2>&1 || \
	    { tail -n 40 "$(CARGO_TARGET_DIR)/deb.log"; exit 1; }
	scripts/test-deb.sh "$(DEB)" "$(TREE)" $(VERSION)
	$(RUN) cmake -S tests/cmake/find_package -B "$(DEB)/build" -DCMAKE_PREFIX_PATH="$(DEB_ROOT)/usr" >/dev/null
	$(RUN) cmake --build "$(DEB)/build"
	$(RUN) ctest --test-dir "$(DEB)/build" --output-on-failure --no-tests=error

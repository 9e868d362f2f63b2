# What is published, and what packagers make. Included by the Makefile.

.PHONY: test-package test-crates deb test-deb

test-package: test-crates test-capi test-deb ## make the packages of cargo, cargo-c and Debian, and look at what is inside

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# Every crate that is published, from its own archive, without the network. They are unpacked beside each other, since none
# is on the registry, and built in the folders of `make plugin` and `make build`: cargo package itself would build llama.cpp
# once more.
PACKAGE := $(CARGO_TARGET_DIR)/package
CRATES := sda sda-capi sda-cli
test-crates: setup
	rm -rf "$(PACKAGE)/package" "$(PACKAGE)/unpacked"
	"$(CARGO)" package --quiet --locked --offline --allow-dirty $(CRATES:%=-p %) --no-verify --target-dir "$(PACKAGE)"
	@mkdir -p "$(PACKAGE)/unpacked" && cd "$(PACKAGE)/unpacked" && set -e && members= && \
	for crate in $(CRATES); do \
	    tar -xf "$(PACKAGE)/package/$$crate-$(VERSION).crate" && members="$$members\"$$crate-$(VERSION)\", "; \
	    test -s "$$crate-$(VERSION)/LICENSE" || { echo "error: $$crate has no LICENSE" >&2; exit 1; }; \
	done && \
	printf '[workspace]\nresolver = "3"\nmembers = [%s]\n[patch.crates-io]\nsda = { path = "sda-%s" }\n' \
	    "$$members" "$(VERSION)" >Cargo.toml && cp "$(CURDIR)/Cargo.lock" .
	cd "$(PACKAGE)/unpacked" && CARGO_TARGET_DIR="$(PLUGIN_TARGET_DIR)" RUSTFLAGS= $(LTO) "$(CARGO)" build --release --offline -p sda-capi
	cd "$(PACKAGE)/unpacked" && RUSTFLAGS='$(RUSTFLAGS)' "$(CURDIR)/scripts/tools.sh" run \
	    "$(CARGO)" build --release --offline -p sda-cli
	test "$$($(SDA) --version)" = "sda $(VERSION)"

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

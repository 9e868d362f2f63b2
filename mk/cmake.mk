# The ways by which a CMake project takes the library. Included by the Makefile.

.PHONY: test-cmake

CMAKE_TEST := $(CARGO_TARGET_DIR)/cmake
# cmake_project NAME SETTING...: configures, builds and runs tests/cmake/NAME.
cmake_project = $(RUN) cmake -S tests/cmake/$(1) -B "$(CMAKE_TEST)/$(1)" $(2) >/dev/null && \
    $(RUN) cmake --build "$(CMAKE_TEST)/$(1)" && \
    $(RUN) ctest --test-dir "$(CMAKE_TEST)/$(1)" --output-on-failure --no-tests=error

# Cargo is not made to build everything again, as it would in a project's own folder. What `cmake --install` installs is
# moved, and is what `make install` does.
SHARED_CARGO := -DSDA_CARGO_TARGET_DIR="$(PLUGIN_TARGET_DIR)"
test-cmake: setup plugin ## take the library by add_subdirectory, FetchContent and find_package
	rm -rf "$(CMAKE_TEST)"
	$(call cmake_project,subdirectory,-DSDA_SOURCE="$(CURDIR)" $(SHARED_CARGO))
	$(call cmake_project,fetch_content,-DSDA_SOURCE="$(CURDIR)" $(SHARED_CARGO))
	$(RUN) cmake -S . -B "$(CMAKE_TEST)/build" -DCMAKE_INSTALL_LIBDIR=lib $(SHARED_CARGO) >/dev/null
	$(RUN) cmake --build "$(CMAKE_TEST)/build"
	DESTDIR="$(CMAKE_TEST)/stage" $(RUN) cmake --install "$(CMAKE_TEST)/build" --prefix /sda
	mv "$(CMAKE_TEST)/stage/sda" "$(CMAKE_TEST)/moved"
	"$(MAKE)" -s install DESTDIR="$(CMAKE_TEST)/stage" PREFIX=/sda LIBDIR=/sda/lib INCLUDEDIR=/sda/include
	diff -r "$(CMAKE_TEST)/stage/sda" "$(CMAKE_TEST)/moved"
	$(call cmake_project,find_package,-DCMAKE_PREFIX_PATH="$(CMAKE_TEST)/moved")

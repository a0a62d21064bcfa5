# make run    installs missing packages (Debian's), builds, runs the jobs of examples/ in the sandbox
# make test   the same, then every test
# The other targets: see README.md. /usr/bin/python3 throughout, whatever comes first in PATH.

PYTHON = /usr/bin/python3
BUILD = build
export PYTHONDONTWRITEBYTECODE = 1

BUILD_PACKAGES = gcc libc6-dev meson ninja-build pkg-config libjansson-dev libedit-dev python3 python3-dev
RUN_PACKAGES = python3-numpy python3-pandas python3-matplotlib
TEST_PACKAGES = python3-pytest python3-pytest-xdist python3-pytest-timeout python3-hypothesis mypy g++ \
    crun golang-github-containers-common
WHEEL_PACKAGES = python3-mesonpy patchelf
LINT_PACKAGES = clang clang-tidy clang-format cppcheck mypy python3-pyflakes black
FUZZ_PACKAGES = clang libclang-rt-14-dev

.PHONY: all run test lint tcb bench fuzz asan wheel format install-packages test-clients test-packages clean

all: .venv/bin/belljar
	@echo "belljar is built. Next: .venv/bin/belljar run -c 'print(6 * 7)'   (.venv/bin/belljar doctor, make run, make test)"

# ---- Building ---------------------------------------------------------------------------------------------

install-packages:
	@scripts/install-packages $(BUILD_PACKAGES)

$(BUILD)/build.ninja: | install-packages
	meson setup -Dpython=$(PYTHON) $(BUILD)

.PHONY: build
build: $(BUILD)/build.ninja
	@flock $(BUILD) meson compile -C $(BUILD)

# Debian's own interpreter with its numpy and pandas, and belljar from this tree.
.venv/bin/belljar: build scripts/make-venv
	@scripts/make-venv $(PYTHON) $(BUILD) .venv

# ---- Running and testing ----------------------------------------------------------------------------------

run: all
	@scripts/install-packages $(RUN_PACKAGES)
	@.venv/bin/python examples/run.py

test: all
	@scripts/install-packages $(RUN_PACKAGES) $(TEST_PACKAGES) $(WHEEL_PACKAGES)
	@tests/run

# The MCP clients that others wrote, in environments of their own: needs the registries of Python and Node. CI calls it where they answer.
test-clients: all
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || scripts/install-packages python3-venv
	@command -v npm > /dev/null || scripts/install-packages npm
	@PYTHON=$(PYTHON) tests/clients/run $(BUILD)

# The packages that people use, in environments of their own: needs Python's registry. Not part of `make test`. SHORT=1: a few of them.
test-packages: all
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || scripts/install-packages python3-venv
	@tests/packages/run $(if $(SHORT),--short) $(OPTIONS)

# Everything that docs/performance.md shows, in a quarter of an hour. OPTIONS=--quick: three minutes. OPTIONS=--write: into the tree.
bench: all
	@scripts/install-packages $(RUN_PACKAGES)
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || scripts/install-packages python3-venv
	@.venv/bin/python bench/bench.py $(OPTIONS)

wheel:
	@scripts/install-packages $(BUILD_PACKAGES) $(WHEEL_PACKAGES)
	@scripts/make-wheel $(BUILD)/wheel

# ---- Looking at the code ----------------------------------------------------------------------------------

lint: all
	@scripts/install-packages $(LINT_PACKAGES)
	@scripts/lint $(BUILD)

format:
	@scripts/install-packages clang-format
	git ls-files '*.c' '*.h' | xargs clang-format -i

tcb: all
	@$(PYTHON) scripts/count-lines $(BUILD)

fuzz:
	@scripts/install-packages $(BUILD_PACKAGES) $(FUZZ_PACKAGES)
	@scripts/fuzz $(PYTHON)

# The C tests again, with AddressSanitizer and UBSan. With them gcc warns of what cannot be.
asan:
	@scripts/install-packages $(BUILD_PACKAGES)
	@test -f build-asan/build.ninja || meson setup -Dwerror=false -Dpython=$(PYTHON) -Db_sanitize=address,undefined build-asan
	@meson compile -C build-asan
	@tests/c-tests build-asan

clean:
	rm -rf $(BUILD) build-asan build-fuzz .venv

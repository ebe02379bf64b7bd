# The front door. `make run` shows deskd at work, `make test` shows that it works.
# Both install what they need and say so; everything else assumes that they did.

SHELL := /bin/bash
# Where rustup puts cargo, for the run that has just installed it.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Static binaries, for the scratch image and for every distribution. deskd has glibc linked in: musl's
# allocator is the slow part of such a program. The keeper hardly allocates and has musl, which halves
# it; where Rust has no musl target it has glibc too.
# `--target` keeps the flags away from proc macros, which cannot be static. Relative relocations are
# packed: half a megabyte less.
STATIC := RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
# Looked up when used: `make run` may have to install Rust first. `HOST=aarch64-unknown-linux-gnu` builds for
# another machine: CONTRIBUTING.md has what that needs.
HERE = $(shell rustc --print host-tuple)
HOST = $(HERE)
MUSL = $(firstword $(subst -, ,$(HOST)))-unknown-linux-musl
KEEPER_TARGET = $(if $(wildcard $(shell rustc --print target-libdir --target $(MUSL))/libstd-*.rlib),$(MUSL),$(HOST))
# What runs first and most lies in one place: tests/setup/link-order says why, and makes the lists. Tables
# for unwinding are left out. Only ld.lld, which comes with Rust for some hosts, can do both. `LINK_MAPS`
# is a directory for its maps.
LLD = $(shell rustc --print sysroot)/lib/rustlib/$(HERE)/bin/gcc-ld
MAPPED = $(LINK_MAPS:%=-Wl,--no-demangle -Wl,-Map=%/$(1).map)
# Cargo does not see that a list has changed, but it sees another option: a name that nothing asks for.
LIST = --cfg=link_order_$(shell sha256sum src/$(1)/link-order | cut -c1-16)
LAID_OUT = $(if $(wildcard $(LLD)/ld.lld),$(addprefix -C link-arg=,-fuse-ld=lld -B$(LLD) -Wl,--no-warn-symbol-ordering \
	-Wl,--symbol-ordering-file=src/$(1)/link-order -Wl,-T,target/$(1).ld -Wl,-T,tests/setup/no-unwind.ld $(MAPPED)) $(LIST))
# NAME.* in a list is a function that there is more than once, with numbers in place of the star that any change
# shifts: a pattern finds them.
COPIES = mkdir -p target && { echo 'SECTIONS { .text.copies : {'; \
	sed -n 's/\.\*$$//; T; s/.*/*(.text.& .text.&.* .text.*.& .text.*.&.*)/p' src/$(1)/link-order; echo '} } INSERT BEFORE .text;'; } >target/$(1).ld
BINARY := target/deskd
CLUSTER := .cache/cluster/run

.PHONY: help run test check sim torture fuzz build deb images dist cluster cluster-down bench bench-cluster bench-inject bench-peers clean

help:
	@echo 'make run          a desktop with deskd beside it, in the browser (installs what is missing)'
	@echo 'make test         every test (installs what is missing)'
	@echo 'make check        format, lints, crates, documentation, unit tests: before each commit'
	@echo 'make sim         the life of tasks in a simulated world: MINUTES=30'
	@echo 'make torture     a real deskd to which everything happens that can: MINUTES=30'
	@echo 'make fuzz         what strangers can send, made up with coverage: MINUTES=30 (each), TARGETS="wire log"'
	@echo 'make build        the static release binaries: $(BINARY), $(BINARY)-keeper'
	@echo 'make deb          a Debian package of them, below target/'
	@echo 'make images       the two container images, with buildah'
	@echo 'make dist         all that is delivered, in target/dist'
	@echo 'make cluster      a one-node Kubernetes cluster with the desktop pod, in namespaces of its own'
	@echo 'make cluster-down removes it whole'
	@echo 'make bench        deskd measured against its floors and the installed peers'
	@echo 'make bench-cluster  launches in a cluster, deskd beside the bare API call'
	@echo 'make bench-inject  how much later a desktop starts with deskd in its pod'
	@echo 'make bench-peers  installs the peers'
	@echo 'make clean        removes what was built'

run:
	@tests/setup/packages build desktop
	@tests/setup/rust
	@$(MAKE) --no-print-directory build
	@tests/setup/run-desktop $(BINARY)

test:
	@tests/setup/packages build desktop test deb images cluster
	@tests/setup/rust
	@tests/setup/npm
	@tests/setup/go
	@tests/setup/schemathesis
	@tests/cluster/build >/dev/null
	@tests/cluster/build 1.34 >/dev/null
	@tests/cluster/build-runc >/dev/null
	@tests/helm/build >/dev/null
	@tests/setup/all-tests

check:
	@tests/setup/all-tests --quick

sim:
	@cargo test --profile sim -p deskd-core --features samples --test sim -- --minutes $(or $(MINUTES),1)

torture:
	@tests/setup/packages build desktop test
	@tests/setup/rust
	@cargo build --workspace
	@cargo test --test torture -- --minutes $(or $(MINUTES),1)

fuzz:
	@tests/setup/packages build fuzz
	@tests/setup/rust
	@tests/fuzz/run --seconds $$(($(or $(MINUTES),1) * 60)) $(TARGETS)

build:
	@$(call COPIES,deskd) && $(call COPIES,keeper)
	$(STATIC) cargo rustc --locked --package deskd --bin deskd --release --target $(HOST) -- $(call LAID_OUT,deskd)
	$(STATIC) cargo rustc --locked --package deskd-keeper --bin deskd-keeper --profile keeper --target $(KEEPER_TARGET) -- $(call LAID_OUT,keeper)
	@install -D -m 0711 -t $(dir $(BINARY)) target/$(HOST)/release/deskd target/$(KEEPER_TARGET)/keeper/deskd-keeper

deb: build
	@tests/setup/packages deb
	@systemd/debian/build $(BINARY)

images: build
	@tests/setup/packages images
	@container/build-images

dist: build
	@tests/setup/packages deb images
	@container/dist $(BINARY)

cluster:
	@tests/setup/packages build desktop images cluster
	@tests/setup/rust
	@tests/setup/go
	@$(MAKE) --no-print-directory build
	@tests/cluster/images
	@tests/cluster/up $(CLUSTER)
	@tests/cluster/deploy $(CLUSTER)

cluster-down:
	@tests/cluster/down $(CLUSTER)

bench: build
	@DESKD_BIN="$(CURDIR)/$(BINARY)" tests/bench/run

bench-cluster: build
	@tests/bench/cluster
	@tests/bench/places

bench-inject: build
	@tests/bench/inject

bench-peers:
	@tests/bench/peers

clean: cluster-down
	cargo clean
	rm -rf .cache

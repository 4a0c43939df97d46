# ccserver: `make run` to see it, `make check` to trust it. `make help` lists the rest.

VERSION := 0.1.0
BUILD   := build
PREFIX  := /usr/local
SYSCONFDIR := $(PREFIX)/etc

PYTHON  := /usr/bin/python3
JOBS    := $(shell nproc 2>/dev/null || echo 2)

# Debian packages, by what they are needed for.
BUILD_PACKAGES := gcc libc6-dev make pkg-config protobuf-c-compiler libprotobuf-c-dev libbsd-dev zlib1g-dev libinih-dev
TEST_PACKAGES  := $(BUILD_PACKAGES) libcunit1-dev redis-server redis-tools netcat-openbsd telnet protobuf-compiler \
                  python3-prometheus-client python3-yaml groff-base \
                  python3 python3-pytest python3-pytest-xdist procps strace valgrind binutils \
                  curl wrk python3-pymemcache python3-redis python3-websockets libsqlite3-dev libssl-dev
SUITE_PACKAGES := dpkg-dev tcl
# Without them `make check` leaves out what it names at its end.
HEAVY_PACKAGES := chromium
LINT_PACKAGES  := $(TEST_PACKAGES) clang-format clang-tidy
FUZZ_PACKAGES  := $(BUILD_PACKAGES) clang libclang-rt-14-dev libhiredis-dev python3
COV_PACKAGES   := $(TEST_PACKAGES) gcovr
DEB_PACKAGES   := $(BUILD_PACKAGES) debhelper dh-apparmor dpkg-dev fakeroot lintian

# pkg-config modules of the server, each with the package that brings it.
MODULES := libprotobuf-c:libprotobuf-c-dev libbsd:libbsd-dev zlib:zlib1g-dev inih:libinih-dev

# The same for libraries that a service may ask for.
MORE_MODULES := expat:libexpat1-dev hiredis:libhiredis-dev jansson:libjansson-dev libcrypto:libssl-dev \
                libcurl:libcurl4-openssl-dev libpcre2-8:libpcre2-dev libpq:libpq-dev libssl:libssl-dev liburing:liburing-dev \
                libxml-2.0:libxml2-dev libzstd:libzstd-dev lmdb:liblmdb-dev lua5.4:liblua5.4-dev sqlite3:libsqlite3-dev

CC       := gcc
OPTIMISE := -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wconversion -Wno-sign-conversion -fno-common

# Flags that make a mistake in memory harder to exploit; HARDENING= builds without. FORTIFY hides mistakes from sanitizers
# and needs a compiler that optimises, so builds with a FLAVOUR leave it out.
knows     = $(shell $(CC) $(1) -x c -S -o /dev/null /dev/null 2>/dev/null && echo $(1))
FORTIFY   := $(if $(FLAVOUR)$(filter -O0,$(OPTIMISE)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
HARDENING := $(FORTIFY) -fstack-protector-strong -fPIE $(call knows,-fstack-clash-protection) $(call knows,-fcf-protection)
HARDENED_LINK := -pie -Wl,-z,relro,-z,now

CFLAGS   += -std=c11 $(OPTIMISE) $(WARNINGS) $(HARDENING) $(if $(WERROR),-Werror) $(FLAVOUR)
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD)/gen
LDFLAGS  += -Wl,--build-id $(if $(HARDENING),$(HARDENED_LINK)) $(FLAVOUR)
LDLIBS   := -lprotobuf-c -lbsd -lz -linih

# A larger service has a folder of its name beside its file.
SERVICES := $(sort $(wildcard worker/services/*.c))
PARTS    := $(sort $(wildcard $(SERVICES:.c=/*.c)))

# A line /* pkg-config: sqlite3 */ of a service asks for a library: FILE:MODULE for each. What NAME.c asks for, its
# folder has, too.
ASKED_FOR := $(shell awk '/^\/\* pkg-config: .* \*\/$$/ { for (i = 3; i < NF; i++) print FILENAME ":" $$i }' \
                 $(SERVICES) $(PARTS) /dev/null)
asked_for_by = $(foreach asker,$(1) $(patsubst %/,%.c,$(dir $(1))),$(patsubst $(asker):%,%,$(filter $(asker):%,$(ASKED_FOR))))
ALL_ASKED_FOR := $(sort $(foreach each,$(ASKED_FOR),$(lastword $(subst :, ,$(each)))))
LDLIBS += $(if $(ALL_ASKED_FOR),$(shell pkg-config --libs $(ALL_ASKED_FOR) 2>/dev/null))

SOURCES  := $(sort $(wildcard common/*.c proto/*.c worker/*.c worker/core/*.c master/*.c master/conf/*.c)) $(SERVICES) $(PARTS)
GENERATED := $(BUILD)/gen/bank.pb-c.c $(BUILD)/gen/services.c $(BUILD)/gen/builtin.c
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(GENERATED:%.c=%.o)
LIBRARY  := $(BUILD)/libccserver.a
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

all: need-modules $(BUILD)/ccserver $(BUILD)/ccserverctl $(BUILD)/bench/ccpp_client

$(BUILD)/ccserver: $(BUILD)/master/main.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The command that operates it: what it reads is common, and it needs none of the libraries of services.
CTL_SOURCES := $(wildcard master/ctl/*.c)
$(BUILD)/ccserverctl: $(CTL_SOURCES:%.c=$(BUILD)/%.o) $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ -lbsd

$(LIBRARY): $(filter-out %/main.o,$(OBJECTS))
	rm -f $@
	$(AR) qcs $@ $^

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/master/%.o $(BUILD)/worker/services/%.o: CPPFLAGS += -DOUTSIDE_OF_WORKER
$(BUILD)/worker/services/%.o: CPPFLAGS += $(if $(strip $(call asked_for_by,$<)),$(shell pkg-config --cflags $(call asked_for_by,$<)))

$(OBJECTS) $(GENERATED): | need-modules

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# protobuf-c keeps a `string` as a C string, which ends at its first NUL: encoded again it would be cut there. On the wire
# string and bytes are the same, so the server is generated with bytes, and proto/ keeps the types that clients know.
$(BUILD)/gen/%.proto: proto/%.proto Makefile
	@mkdir -p $(@D)
	sed -E 's/\bstring( +[a-z0-9_]+ *=)/bytes\1/' $< > $@

$(BUILD)/gen/%.pb-c.c: $(BUILD)/gen/%.proto
	protoc-c --proto_path=$(@D) --c_out=$(@D) $<

# The list of services is the list of files. It is written again only when it changes.
$(BUILD)/gen/services.c: $(SERVICES) FORCE
	@mkdir -p $(@D)
	@{ echo '#include "worker/worker.h"'; \
	   for s in $(notdir $(SERVICES:.c=)); do echo "extern const struct service $${s}_service;"; done; \
	   echo 'const struct service *const services[] = {'; \
	   for s in $(notdir $(SERVICES:.c=)); do echo "    &$${s}_service,"; done; \
	   echo '    NULL,'; echo '};'; } > $@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi
FORCE:

# What `make run` serves is also served without a configuration file: its lines are part of the program. The sources
# alone, without etc/, build as well; what they make needs a file.
$(BUILD)/gen/builtin.c: $(wildcard etc/ccserver.conf) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "master/conf/conf.h"'; echo 'const char conf_builtin_text[] = ""'; \
	   cat $(filter %.conf,$^) /dev/null | sed -E '/^(#|$$)/d; s/[\\"]/\\&/g; s/.*/    "&\\n"/'; echo '    ;'; } > $@

# The status page is part of the program, too.
$(BUILD)/gen/status_page.inc: worker/services/status/page.html Makefile
	@mkdir -p $(@D)
	od -An -v -tx1 $< | sed "s/ \(..\)/ '\\\\x\1',/g; \$$s/,\$$//" > $@

$(BUILD)/gen/build_info.h: FORCE
	@mkdir -p $(@D)
	@{ echo '#define CCSERVER_VERSION "$(VERSION)"'; \
	   echo '#define CCSERVER_CONF "$(SYSCONFDIR)/ccserver.conf"'; } > $@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi

$(addprefix $(BUILD)/master/,main.o options.o state.o ctl/ccserverctl.o): | $(BUILD)/gen/build_info.h
$(BUILD)/master/conf/default.o: | $(BUILD)/gen/build_info.h
$(patsubst %.c,$(BUILD)/%.o,$(SERVICES) $(PARTS)): | $(BUILD)/gen/bank.pb-c.c
$(BUILD)/worker/services/status.o: | $(BUILD)/gen/status_page.inc

-include $(OBJECTS:.o=.d) $(CTL_SOURCES:%.c=$(BUILD)/%.d) $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%.d,$(wildcard tests/unit/test_*.c)) $(wildcard $(BUILD)/tests/fuzz/*.d)

# ---- what a person types ----

run: setup-build
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@exec $(BUILD)/ccserver -c etc/ccserver.conf

check: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) all unit-programs $(BUILD)/fuzz/random_core gate-driver
	@$(MAKE) --no-print-directory unit random-core regress

SAN := BUILD=build/san OPTIMISE='-O1 -g -fno-omit-frame-pointer' \
       FLAVOUR='-fsanitize=address,undefined -fno-sanitize-recover=undefined'

san: setup-test
	@$(MAKE) --no-print-directory $(SAN) check

san-program:
	@$(MAKE) --no-print-directory $(SAN) all

# A process that is killed while it notes what it has run leaves counts that make no sense: they are left out.
coverage: setup-cov
	@rm -rf build/cov
	@$(MAKE) --no-print-directory BUILD=build/cov OPTIMISE='-O0 -g' FLAVOUR=--coverage check
	@gcovr --root . --object-directory build/cov --exclude 'build/.*' --exclude 'tests/.*' --print-summary \
	    --filter 'common/' --filter 'proto/' --filter 'worker/[a-z_]*\.c' --filter 'worker/core/' \
	    --filter 'master/' --gcov-ignore-parse-errors --fail-under-line 90

EXAMPLES  := $(sort $(wildcard tests/services/*.c))
FORMATTED = $(SOURCES) $(CTL_SOURCES) $(wildcard master/ctl/*.h) $(BENCH_SOURCES) $(EXAMPLES) bench/gates/driver.c \
            $(wildcard */*.h worker/core/*.h worker/services/*/*.h master/*/*.h tests/unit/*.[ch] tests/fuzz/*.[ch])

lint: setup-lint
	@$(MAKE) --no-print-directory all
	tests/lint/arrows
	tests/lint/core-size
	tests/lint/cycles $(BUILD) master master/conf master/ctl worker,worker/core
	clang-format --dry-run --Werror $(FORMATTED)
	@echo 'clang-tidy ...'; printf '%s\n' $(SOURCES) $(CTL_SOURCES) $(EXAMPLES) | xargs -P$(JOBS) -n4 sh -c \
	    'clang-tidy --quiet --warnings-as-errors="*" "$$@" -- $(CPPFLAGS) -std=c11 2>&1 | \
	     grep -v "warnings generated" || :; ' tidy > $(BUILD)/clang-tidy.log; \
	    ! grep -E "(warning|error):" $(BUILD)/clang-tidy.log

format:
	clang-format -i $(FORMATTED)

$(BUILD)/man/ccserver.conf.5: etc/man/ccserver.conf.5.in etc/man/keys.awk $(BUILD)/ccserver
	@mkdir -p $(@D)
	{ cat $<; $(BUILD)/ccserver --keys | awk -f etc/man/keys.awk; } > $@

# The installed configuration lets no client stop the server: behind a proxy on the same machine everybody is local.
MANDIR := $(PREFIX)/share/man
DOCDIR := $(PREFIX)/share/doc/ccserver
COMPLETION := $(PREFIX)/share/bash-completion/completions/ccserverctl
COMPLETION_ZSH := $(PREFIX)/share/zsh/vendor-completions/_ccserverctl

install: all $(BUILD)/man/ccserver.conf.5
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(SYSCONFDIR) \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(DOCDIR)/docs
	install -m 755 $(BUILD)/ccserver $(BUILD)/ccserverctl etc/shutdown_ccserver.sh $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(BUILD)/bench/ccpp_client $(DESTDIR)$(PREFIX)/bin/
	install -m 644 README.md README.zh-CN.md LICENSE $(DESTDIR)$(DOCDIR)/
	install -m 644 docs/*.md docs/*.png $(DESTDIR)$(DOCDIR)/docs/
	sed -i 's/\[\([^]]*\)\](\.\.\/[^)]*)/\1/g' $(DESTDIR)$(DOCDIR)/docs/*.md # what lies in the sources alone is no link
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/examples etc/grafana/*.json etc/prometheus/*.yml
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 etc/man/ccserverctl.1 etc/man/ccpp_client.1
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 $(BUILD)/man/ccserver.conf.5
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 etc/man/ccserver.8
	install -D -m 644 etc/completion/ccserverctl.bash $(DESTDIR)$(COMPLETION)
	install -D -m 644 etc/completion/_ccserverctl $(DESTDIR)$(COMPLETION_ZSH)
	sed 's|/usr/local/etc/|$(SYSCONFDIR)/|; s|/usr/local|$(PREFIX)|' etc/ccserver.service \
	    > $(DESTDIR)$(PREFIX)/lib/systemd/system/ccserver.service
	test -e $(DESTDIR)$(SYSCONFDIR)/ccserver.conf || \
	    sed 's/^shutdown_command = loopback$$/shutdown_command = off/' etc/ccserver.conf | \
	    install -m 644 /dev/stdin $(DESTDIR)$(SYSCONFDIR)/ccserver.conf

# The configuration stays: it is the operator's.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,ccserver ccserverctl shutdown_ccserver.sh) \
	    $(DESTDIR)$(PREFIX)/bin/ccpp_client $(DESTDIR)$(PREFIX)/lib/systemd/system/ccserver.service \
	    $(addprefix $(DESTDIR)$(MANDIR)/,man1/ccserverctl.1 man1/ccpp_client.1 man5/ccserver.conf.5 man8/ccserver.8) \
	    $(DESTDIR)$(COMPLETION) $(DESTDIR)$(COMPLETION_ZSH)
	rm -rf $(DESTDIR)$(DOCDIR)

# A Debian package, in build/deb. It is built from a copy, in which etc/debian is debian/.
DEB      := build/deb
DEB_TREE := $(DEB)/ccserver-$(VERSION)
DEB_MAINTAINER = $(shell sed -n 's/^Maintainer: //p' etc/debian/control)

deb: setup-deb
	@rm -rf $(DEB_TREE) && mkdir -p $(DEB_TREE)
	@cp -R Makefile README.md README.zh-CN.md CHANGELOG.md LICENSE bench common docs etc master proto worker $(DEB_TREE)
	@cp -R etc/debian $(DEB_TREE)/debian
	@date=$$(git log -1 --format=%cD 2>/dev/null || date -R); \
	    sed "s|@VERSION@|$(VERSION)|; s|@MAINTAINER@|$(DEB_MAINTAINER)|; s|@DATE@|$$date|" etc/debian/changelog.in \
	    > $(DEB_TREE)/debian/changelog
	cd $(DEB_TREE) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc -b -j$(JOBS)
	lintian --allow-root --fail-on error,warning $(DEB)/ccserver_$(VERSION)_*.changes

clean:
	rm -rf build

help:
	@echo 'make            build only, no network'
	@echo 'make run        install what is missing, build, serve in the foreground'
	@echo 'make check      the same, then every test'
	@echo 'make san        the tests under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make chaos      SECONDS=$(SECONDS) SEED=: clients against a nemesis that kills, hangs, reloads, resizes and upgrades'
	@echo 'make differential  SECONDS=$(SECONDS) SEED=, PROGRAM=: random programs of Redis, directly and through the server, compared'
	@echo 'make redis-suite  the tests of Redis itself, directly and through the server: WAYS=, ONLY='
	@echo 'make bench      against the bare loop, libevent, libuv, nginx, HAProxy ...; QUICK=1: under five minutes'
	@echo 'make bench-scaling  one worker to one per CPU'
	@echo 'make gates-baseline  count anew what the performance gates of the tests compare with'
	@echo 'make older      upgrades from the binary of another commit and back: OLDER=$(OLDER)'
	@echo 'make fuzz       every parser for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make mutants    changes of the program, one at a time, that the unit tests must notice: COUNT=, SEED=, ONLY=FILE'
	@echo 'make coverage   the tests with line coverage of common, proto, the core and the master'
	@echo 'make lint       include arrows, cycles of calls, size of the core, clang-format, clang-tidy'
	@echo 'make format     clang-format in place'
	@echo 'make uninstall  what make install has put there, but for the configuration'
	@echo 'make install    PREFIX=$(PREFIX) DESTDIR='
	@echo 'make deb        a Debian package in $(DEB), and what lintian says about it'
	@echo 'make clean'

# ---- tests ----

unit-programs: $(UNIT)

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(LDLIBS) -lcunit

unit: unit-programs
	@for test in $(UNIT); do $$test || exit 1; done

# Parts of ccserverctl that have a test of their own.

$(BUILD)/unit/test_top: $(addprefix $(BUILD)/master/ctl/,screen.o server.o terminal.o top.o top_page.o top_rows.o)
$(BUILD)/unit/test_server: $(BUILD)/master/ctl/server.o

# The chaos run has the machine to itself: it measures times.
regress: all gate-driver
	CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) -m pytest -q -rs -n 6 -p no:cacheprovider tests/regress \
	    --ignore tests/regress/test_chaos.py
	CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) -m pytest -q -p no:cacheprovider tests/regress/test_chaos.py

SECONDS := 600
chaos: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) tests/chaos/chaos.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(CHAOS)

# Redis itself and through the server: PROGRAM= repeats one of a SEED=.
differential: setup-test
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) tests/differential/differential.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) \
	    $(if $(PROGRAM),--program $(PROGRAM)) $(DIFFERENTIAL)

# Redis' own tests, directly and through the server: WAYS=relay-1,relay-2,shared-1,shared-2, ONLY=unit/multi,...
redis-suite: setup-redis-suite
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) tests/redis_suite/run.py $(if $(WAYS),--ways $(WAYS)) $(if $(ONLY),--only $(ONLY))

setup-redis-suite: setup-test
	@$(call install-packages,$(SUITE_PACKAGES))
	@tests/redis_suite/fetch build/redis-suite

# From the binary of another commit to this one, and back. The default: the last one that knows no pools.
OLDER ?= 2430c2e
older: setup-test all
	@rm -rf build/older && mkdir -p build/older
	git archive $(OLDER) | tar -x -C build/older
	@$(MAKE) --no-print-directory -s -C build/older -j$(JOBS) all
	CCSERVER=$(abspath $(BUILD)/ccserver) CCSERVER_OLDER=$(abspath build/older/build/ccserver) \
	    $(PYTHON) -m pytest -q -p no:cacheprovider tests/regress/test_older.py

# ---- fuzzing ----

FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

$(BUILD)/fuzz/fuzz_resp: LDLIBS += -lhiredis

# The whole core runs on a kernel in memory: in a copy of the library its system calls have other names.
FAKE_LIBRARY := $(BUILD)/fuzz/libccserver-fake.a
FUZZ_CORE    := $(addprefix $(BUILD)/tests/fuzz/,fuzz_core.o scripted.o asking.o expected.o fake_kernel.o) $(FAKE_LIBRARY)

$(FAKE_LIBRARY): $(LIBRARY) tests/fuzz/fake_names
	@mkdir -p $(@D)
	objcopy --redefine-syms=tests/fuzz/fake_names $(LIBRARY) $@

$(BUILD)/fuzz/fuzz_core: $(FUZZ_CORE)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# The same without an engine, for `make check`.
$(BUILD)/fuzz/random_core: $(FUZZ_CORE) $(BUILD)/tests/fuzz/random_main.o
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

random-core: $(BUILD)/fuzz/random_core
	@$(BUILD)/fuzz/random_core 5

fuzz-programs: $(FUZZERS)

# Each parser for FUZZ_SECONDS; what is found stays in build/fuzz and makes the run fail.
FUZZ_SECONDS := 60
fuzz: setup-fuzz
	@$(MAKE) --no-print-directory -j$(JOBS) CC=clang BUILD=build/fuzz OPTIMISE='-O1 -g' \
	    FLAVOUR='-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined' fuzz-programs
	@$(PYTHON) tests/fuzz/run.py --seconds $(FUZZ_SECONDS) build/fuzz

# ---- what the unit programs notice ----

COUNT ?= 200

mutants: setup-test
	@$(PYTHON) tests/mutants/mutants.py $(addprefix --only=,$(ONLY)) $(COUNT) $(or $(SEED),1) $(IDS)

# ---- benchmarks ----

include bench/bench.mk
include bench/gates/gates.mk

bench: setup-bench
	@$(MAKE) --no-print-directory -j$(JOBS) all bench-programs
	@$(PYTHON) bench/run.py $(if $(QUICK),--quick) $(BENCH)

bench-scaling: setup-bench
	@$(MAKE) --no-print-directory -j$(JOBS) all bench-programs
	@$(PYTHON) bench/scaling.py $(if $(QUICK),--quick) $(BENCH)

# ---- packages ----

# What is missing is named, not left to the compiler.
need-modules:
	@command -v pkg-config >/dev/null || { echo 'missing: pkg-config; apt-get install pkg-config'; exit 1; }
	@command -v protoc-c >/dev/null || { echo 'missing: protoc-c; apt-get install protobuf-c-compiler'; exit 1; }
	@for module in $(MODULES); do pkg-config --exists $${module%%:*} || \
	    { echo "missing: $${module%%:*}; apt-get install $${module##*:}"; exit 1; }; done
	@for asked in $(ASKED_FOR); do module=$${asked##*:}; pkg-config --exists $$module && continue; \
	    for known in $(MORE_MODULES) $(MODULES); do test "$${known%%:*}" != $$module || \
	        { echo "missing: $$module, which $${asked%%:*} asks for; apt-get install $${known##*:}"; exit 1; }; done; \
	    echo "missing: $$module, which $${asked%%:*} asks for; apt-file search /$$module.pc names its package"; exit 1; done

setup-build: ; @$(call install-packages,$(BUILD_PACKAGES))
setup-test:  ; @$(call install-packages,$(TEST_PACKAGES))
setup-heavy: ; @$(call install-packages,$(HEAVY_PACKAGES))
setup-lint:  ; @$(call install-packages,$(LINT_PACKAGES))
setup-fuzz:  ; @$(call install-packages,$(FUZZ_PACKAGES))
setup-cov:   ; @$(call install-packages,$(COV_PACKAGES))
setup-deb:   ; @$(call install-packages,$(DEB_PACKAGES))

define install-packages
set -e; command -v dpkg-query >/dev/null || exit 0; missing=; \
for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
test -n "$$missing" || exit 0; \
if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null && sudo -v; then sudo=sudo; else \
    echo "missing packages; as root: apt-get update && apt-get install -y --no-install-recommends$$missing"; exit 1; fi; \
echo "installing:$$missing"; \
$$sudo apt-get update -q; \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends$$missing
endef

.PHONY: uninstall mutants older all run check san san-program chaos differential redis-suite setup-redis-suite fuzz fuzz-programs random-core setup-fuzz bench bench-scaling coverage lint format install clean help unit-programs unit regress need-modules FORCE \
        setup-build setup-test setup-heavy setup-lint setup-cov setup-deb deb
.SECONDARY:

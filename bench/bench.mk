# The programs of the benchmarks: the load client, and the peers that ccserver is compared with. `make bench-programs`.

# Everything a run of the benchmarks needs, beside what the server itself is built with.
BENCH_PACKAGES := $(BUILD_PACKAGES) libevent-dev libuv1-dev liburing-dev nginx libnginx-mod-stream haproxy nutcracker \
                  redis-server redis-tools strace valgrind linux-perf procps python3 python3-matplotlib

# pkg-config modules of the peers, each with the package that brings it.
BENCH_MODULES := libbsd:libbsd-dev libevent_core:libevent-dev libuv:libuv1-dev liburing:liburing-dev

BENCH_PEERS    := floor uring libevent libuv relay
BENCH_PROGRAMS := $(BUILD)/bench/ccpp_client $(BENCH_PEERS:%=$(BUILD)/bench/peer_%)
BENCH_CLIENT   := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard bench/client_*.c)) bench/ccpp_client.c bench/histogram.c)
BENCH_PEER     := $(BUILD)/bench/peers/peer.o
BENCH_SOURCES  := $(sort $(wildcard bench/*.c bench/peers/*.[ch]))
BENCH_OBJECTS  := $(BENCH_CLIENT) $(BENCH_PEER) $(BENCH_PEERS:%=$(BUILD)/bench/peers/%.o)

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_PEER) $(BENCH_PEERS:%=$(BUILD)/bench/peers/%.o): | need-bench-modules

$(BUILD)/bench/ccpp_client: $(BENCH_CLIENT)
	$(CC) $(LDFLAGS) -o $@ $^ -lbsd -lpthread -lm

$(BUILD)/bench/peer_%: $(BUILD)/bench/peers/%.o $(BENCH_PEER)
	$(CC) $(LDFLAGS) -o $@ $^ $(PEER_LIBS)

$(BUILD)/bench/peer_uring:    PEER_LIBS := -luring
$(BUILD)/bench/peer_libevent: PEER_LIBS := -levent_core
$(BUILD)/bench/peer_libuv:    PEER_LIBS := -luv

need-bench-modules:
	@command -v pkg-config >/dev/null || { echo 'missing: pkg-config; apt-get install pkg-config'; exit 1; }
	@for module in $(BENCH_MODULES); do pkg-config --exists $${module%%:*} || \
	    { echo "missing: $${module%%:*}; apt-get install $${module##*:}"; exit 1; }; done

setup-bench: ; @$(call install-packages,$(BENCH_PACKAGES))

-include $(BENCH_OBJECTS:.o=.d)

.PHONY: bench-programs need-bench-modules setup-bench

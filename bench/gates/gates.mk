# The gates of bench/gates, which count and never time. `make check` runs them; the top Makefile includes this file.

GATE_PACKAGES := strace valgrind
GATE_DRIVER   := $(BUILD)/bench/gate_driver
GATE_OBJECT   := $(BUILD)/bench/gates/driver.o

# The driver says what it was compiled with.
$(GATE_OBJECT): CPPFLAGS += -DGATE_FLAGS='"$(filter-out -W% -std=%,$(CFLAGS))"'

# Symbols are enough for callgrind, which is the quicker for it and does not understand everything that clang writes.
$(GATE_DRIVER): $(GATE_OBJECT) $(LIBRARY)
	$(CC) $(LDFLAGS) -Wl,--strip-debug -o $@ $^ $(LDLIBS)

gate-driver: $(GATE_DRIVER)

# Count anew what the gates compare with, show what has changed, and write it down: to be committed with the reason.
gates-baseline: all gate-driver
	CCSERVER=$(abspath $(BUILD)/ccserver) $(PYTHON) bench/gates/gates.py

-include $(GATE_OBJECT:.o=.d)

.PHONY: gate-driver gates-baseline

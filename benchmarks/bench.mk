# Benchmarks; included by the top Makefile. docs/benchmarks.md tells what they measure.

BENCH_SOURCES := $(addprefix benchmarks/,bench.c util.c stats.c pair.c ours.c peer_lfht.c peer_lmdb.c)
BENCH_OBJECTS := $(BENCH_SOURCES:%.c=$(BUILD)/%.o)
BENCH_LIBS := -lurcu-memb -lurcu-cds -lurcu-common -llmdb -lurcu-bp -pthread
# The figures are only comparable at one optimisation level: not the one of a debug build.
BENCH_COMPILE = $(CC) -std=c11 -D_GNU_SOURCE -pthread -O2 -g $(WARNINGS) -Icsrc -MMD -MP

# What the peers need (LMDB, valgrind), before anything compiles.
$(BUILD)/.have-bench:
	@.ci/setup build bench
	@mkdir -p $(@D) && touch $@

$(BUILD)/benchmarks/%.o: benchmarks/%.c | $(BUILD)/.have-bench
	@mkdir -p $(@D)
	$(BENCH_COMPILE) -c -o $@ $<

$(BUILD)/bench: $(BENCH_OBJECTS) $(BUILD)/libidemkey.a
	$(CC) -o $@ $^ $(BENCH_LIBS)

$(BUILD)/callgrind_calls $(BUILD)/memory: $(BUILD)/%: $(BUILD)/benchmarks/%.o \
    $(BUILD)/benchmarks/util.o $(BUILD)/libidemkey.a
	$(CC) -o $@ $^ -lurcu-bp -lurcu-common -pthread

.PHONY: bench bench-quick bench-callgrind bench-memory
bench: $(BUILD)/bench  ## compare with liburcu's cds_lfht and LMDB at 1e4, 1e6 and 1e7 keys (4 min, 8 GiB)
	$(BUILD)/bench --json $(BUILD)/bench.json

bench-quick: $(BUILD)/bench  ## the same at 1e4 and 1e6 keys
	$(BUILD)/bench --quick

bench-callgrind: $(BUILD)/callgrind_calls  ## instructions per claim, complete, lookup and replay
	python3 benchmarks/callgrind.py $<

bench-memory: $(BUILD)/memory  ## bytes per key, beside Redis where it is installed
	$(BUILD)/memory
	if command -v redis-server > /dev/null; then python3 benchmarks/memory_redis.py; fi

.PHONY: bench-http run-bench-http
bench-http:  ## what idempotency adds to an HTTP request, beside powertools and asgi-idempotency-header
	@.ci/setup build python bench && .ci/setup venv demo bench
	@$(AGAIN) run-bench-http

run-bench-http: $(VENV)/.package
	@$(PYTHON) benchmarks/http/in_process.py --json $(BUILD)/bench_http.json
	@$(PYTHON) benchmarks/http/over_http.py --json $(BUILD)/bench_http_load.json
	@$(PYTHON) benchmarks/http/plot.py $(BUILD)/bench_http.json docs/benchmarks-http.svg

-include $(BENCH_OBJECTS:.o=.d) $(BUILD)/benchmarks/callgrind_calls.d $(BUILD)/benchmarks/memory.d

# Two commands are all a new user needs: make demo, make test.

# No cgo: every binary is static. The tag leaves out cli's documentation
# generator, which doubles the time a program takes to start.
export CGO_ENABLED = 0
TAGS = urfave_cli_no_docs

# Where the binaries begin: prog asks there which descriptors were closed.
LDFLAGS = -ldflags=-E=ipcbook/shared/prog.start
GO = go
CC = cc
CFLAGS = -std=c11 -O2 -Wall -Wextra -pedantic
EX =
N = 50
RUN = .

mains = $(patsubst examples/%/main.go,%,$(wildcard examples/*/main.go))
twins = $(wildcard examples/*/*.c)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

build: ## all programs to bin/
	@$(GO) build -trimpath -tags $(TAGS) $(LDFLAGS) -o bin/ $(addprefix ./examples/,$(mains))

demo: build ## run every program and every pair, and show what they do
	@sh examples/demo.sh "$(CURDIR)/bin"

test: ## all tests, pairs as real processes among them
	$(GO) test -tags $(TAGS) -timeout 20m ./...

checkptr: ## the tests with the compiler's checks of unsafe pointers
	$(GO) test -tags $(TAGS) -gcflags=all=-d=checkptr ./shared/...

cross: ## build for amd64 and arm64
	GOARCH=amd64 $(GO) vet -tags $(TAGS) ./...
	GOARCH=arm64 $(GO) vet -tags $(TAGS) ./...
	GOARCH=arm64 $(GO) build -tags $(TAGS) $(LDFLAGS) -o bin/arm64/ $(addprefix ./examples/,$(mains))

c: ## the C twins to bin/c/ (needs a C compiler)
	@command -v $(CC) >/dev/null || { echo "make c: no C compiler ($(CC)); on Debian: apt-get install gcc libc6-dev"; exit 1; }
	@mkdir -p bin/c
	@for f in $(twins); do $(CC) $(CFLAGS) -pthread -o bin/c/$$(basename $$f .c) $$f || exit 1; done

compare: ## Go beside C, program by program; EX=NAME shows one in detail
	@$(GO) build -o bin/compare ./e2e/compare && bin/compare $(if $(EX),-ex $(EX))

bench: ## Go beside C, timed; QUICK=1 for a minute (needs a C compiler)
	@cd bench && $(GO) run .

bench-test: ## the tests of the benchmark itself
	cd bench && $(GO) test ./...

lint: ## gofmt, go vet, staticcheck
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt would change: $$out"; exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	$(GO) tool staticcheck -tags $(TAGS) ./...
	cd bench && $(GO) vet ./...

fuzz: ## every fuzz target for 30 s
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -tags $(TAGS) -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$f$$" -fuzztime 30s $$p || exit 1; \
		done; \
	done

soak: ## e2e tests (RUN=REGEXP) N times (N=50) on one CPU beside a busy loop; SOAK=1: their long form
	@$(GO) test -tags $(TAGS) -c -o bin/e2e.test ./e2e
	@(while :; do :; done) & busy=$$!; trap "kill $$busy" EXIT INT TERM; \
	if command -v taskset >/dev/null; then pin="taskset -c 0"; taskset -cp 0 $$busy >/dev/null; fi; \
	cd e2e && GOMAXPROCS=1 $$pin ../bin/e2e.test -test.run '$(RUN)' -test.count=$(N) -test.timeout 0 -test.failfast

clean-ipc: ## remove what the programs' default names leave behind after a kill -9
	rm -f /dev/shm/pshm_xfr shared.dat
	test ! -p pipe_file || rm pipe_file
	test ! -S /tmp/door || rm /tmp/door

.PHONY: help build demo test checkptr cross c compare bench bench-test lint fuzz soak clean-ipc

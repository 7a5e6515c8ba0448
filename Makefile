# make demo    build and run Sluice with a simulated Microsoft tenant
# make test    everything that a change has to pass, installing what is missing
# make check   the same without installing anything

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint

.PHONY: all build demo test check race lint vet fuzz-short bench soak soak-postgres mutations docs docs-check clean

all: build

build:
	CGO_ENABLED=1 $(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/sluice ./cmd/sluice

demo:
	scripts/install-deps.sh build
	$(MAKE) build
	bin/sluice up --demo

test:
	scripts/test.sh

check: lint vet docs-check fuzz-short race

# The tests of the binary come after the others: they are about time, and a machine that does everything at once has none.
# The limit is for what hangs: a slow machine may need it for one package.
race:
	scripts/postgres.sh $(GO) test -race -timeout 60m ./internal/... ./cmd/...
	$(GO) test -race -timeout 60m -tags sluicetest -run 'Kill|Crash|Actions' ./internal/collect ./internal/failpoint
	scripts/postgres.sh $(GO) test -race -timeout 60m -p 1 ./test/...

lint:
	$(LINT) run

vet:
	$(GO) vet ./...

fuzz-short:
	scripts/fuzz-short.sh

soak:
	@mkdir -p bin
	$(GO) run ./test/soak -seeds 1-200 -parallel 2 -summary bin/soak.json

# The same with the state in PostgreSQL, whose connections break now and then.
soak-postgres:
	@mkdir -p bin
	scripts/postgres.sh sh -c '$(GO) run ./test/soak -seeds 1-200 -parallel 2 -summary bin/soak-postgres.json -postgres "$$SLUICE_TEST_POSTGRES"'

# Each rule of the collection path is taken out of the code; a test has to notice. About a quarter of an hour.
mutations:
	SLUICE_MUTATIONS=1 $(GO) test -count=1 -timeout 90m -v -run TestMutations ./test/mutation

bench: build
	$(GO) run ./test/bench

docs:
	$(GO) run ./internal/tools/docs

docs-check:
	$(GO) run ./internal/tools/docs -check

clean:
	rm -rf bin

# make help lists the targets. Everything made here goes to bin/ and build/; nothing else is written in the checkout.
SHELL := /bin/bash
.DEFAULT_GOAL := help

COMMIT ?= $(shell git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null)
COMMIT := $(COMMIT)# looked at once: all binaries of a build say the same
# grpcnotrace leaves golang.org/x/net/trace and with it html templates out: a fifth of the agent.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags '-s -w -X tfos/internal/version.commit=$(COMMIT)'
PIP_WHEEL = $(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps -w build/wheels
BINARIES := tfos tfos-am tfos-agent tfos-builtin
VENV := $(CURDIR)/build/venv
PYTHON := $(VENV)/bin/python
CLUSTER := deploy/testcluster/cluster

export TESTCLUSTER_HOME ?= $(CURDIR)/build/testcluster

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: need-go ## the binaries, into bin/: three static ones, and tfos-builtin, which loads TensorFlow
	@mkdir -p bin
	@for b in $(BINARIES); do $(GO_BUILD) -o bin/$$b ./cmd/$$b || exit 1; done

.PHONY: check
check: need-go ## format, vet, staticcheck, architecture rules and the fast tests: under a minute, nothing but Go
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$out" ] || { echo "run gofmt -w on:"; echo "$$out"; exit 1; }
	go vet -tags 'e2e bench versions hadoop matrix soak programs pages schedulers packages guide' ./...
	go vet ./...
	go tool staticcheck ./...
	go test ./...

.PHONY: demo
demo: build venv ## train the handwritten digits on the embedded YARN, into build/demo
	@rm -rf build/demo
	bin/tfos run --master local --env PYTHON=$(PYTHON) --checkpoint-dir $(CURDIR)/build/demo examples/digits/ps.yaml

.PHONY: test
test: check need-cc need-ip build venv jars ## every test: the fast ones, real TensorFlow on the embedded YARN, and a real Hadoop cluster
	cd python && $(PYTHON) -B -m unittest discover -t . -s tests
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 75m -tags e2e -p 1 -parallel 3 ./internal/endpoint ./internal/fileserver ./test/e2e/...

.PHONY: nightly
nightly: test vulnerable fuzz matrix programs pages spark schedulers packages guide versions simulate resumes checkpoints ## make test, known vulnerabilities, fuzzing, every fault, programs of other TensorFlows and of Spark, the web pages, real schedulers, packages, the guide's commands, the other Hadoop versions, long simulations, many checkpoints, an hour's soak
	$(MAKE) soak MINUTES=60

.PHONY: matrix
matrix: need-cc need-ip build venv jars ## every fault plan under every strategy, on a real cluster; prints a row for each
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 5h -tags e2e,matrix -p 1 -v -run '^TestMatrix' ./test/e2e/...

.PHONY: programs
programs: need-cc need-ip build venv venvs jars ## programs as users write them, on TensorFlow 2.12, 2.15 and 2.21, with a task killed in each
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 90m -tags e2e,programs -p 1 -v -run '^TestPrograms' ./test/e2e/

.PHONY: pages
pages: need-chromium need-prometheus need-cc need-ip build venv jars ## the web pages of a job in a real Chromium and a real Prometheus, through YARN's proxy, and one that stands still; pictures in build/pages
	@deploy/python/venv.sh $(CURDIR)/build/venv-tensorboard tensorboard
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 30m -tags e2e,pages -p 1 -v -run '^TestPages' ./test/e2e/

.PHONY: schedulers
schedulers: need-cc need-ip build venv jars jar airflows ## tfos under schedulers, each a real one: yarn jar, Airflow, Oozie, Azkaban; the files for cron and systemd; a doubled night that is killed at each stage; thirty nights with a fault in each
	test/schedulers/azkaban $(CURDIR)/build/azkaban
	test/schedulers/oozie fetch $(CURDIR)/build/oozie
	cd test/schedulers && $(PYTHON) -B -m unittest -v test_files
	@for v in $(AIRFLOWS); do echo "Airflow $$v" && (cd test/schedulers && ../../build/airflow-$$v/bin/python -B -m unittest -v test_airflow) || exit 1; done
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 120m -tags e2e,schedulers -p 1 -v -run '^TestSchedulers' ./test/e2e/

AIRFLOWS := 2.11.2 3.3.2

.PHONY: airflows
airflows: venv # Airflow of each version, with the operator
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps -w build/wheels ./python ./deploy/schedulers/airflow
	@for v in $(AIRFLOWS); do deploy/python/venv.sh $(CURDIR)/build/airflow-$$v airflow-$$v --no-deps && \
		build/airflow-$$v/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheels/tfos-[0-9]*.whl build/wheels/tfos_airflow-*.whl || exit 1; done

.PHONY: jar
jar: build need-java ## the tfos command for `yarn jar`, and for Oozie: build/tfos.jar
	deploy/jar/build bin build/tfos.jar

.PHONY: guide
guide: need-cc need-ip build venv jars ## the commands on the pages of docs/guide, here and on a real cluster
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 30m -tags e2e,guide -p 1 -v -run '^TestGuide' ./test/e2e/

.PHONY: venvs
venvs: # Python environments with other versions of TensorFlow
	@for v in 2.12 2.15; do deploy/python/venv.sh $(CURDIR)/build/venv-$$v $$v || exit 1; done

SEED ?= 0

.PHONY: soak
soak: MINUTES = 15
soak: need-cc need-ip build venv jars ## random faults of all kinds against a job of each strategy: make soak MINUTES=15 SEED=7
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout $$(($(MINUTES) + 30))m -tags e2e,soak -v -run '^TestSoak$$' ./test/e2e/ -minutes $(MINUTES) -seed $(SEED)

SPARKS := 3.5.9 4.3.0

.PHONY: spark
spark: need-java need-ip build venv sparks jars ## programs of TensorFlowOnSpark on a real Spark Standalone of two versions, its hosts apart too, their nodes on a real YARN, and Spark itself there
	@for v in $(SPARKS); do echo "Spark $$v" && cd $(CURDIR)/test/spark && export TFOS=$(CURDIR)/bin/tfos PYTHONPATH=$(CURDIR)/python:$(CURDIR)/python/names:$(CURDIR)/build/spark-$$v && \
		$(PYTHON) -B -m unittest -v && LAUNCHER=executors $(PYTHON) -B -m unittest -v test_feeds test_failures_while_feeding && ./on-hosts $(PYTHON) hosts && ./on-yarn $(PYTHON) test_TFCluster && MASTER=yarn ./on-yarn $(PYTHON) test_TFCluster yarn || exit 1; done

.PHONY: sparks
sparks: # Spark of each version, beside the Python environment
	@for v in $(SPARKS); do deploy/python/spark.sh $(CURDIR)/build/spark-$$v $$v || exit 1; done

# Of one commit everything that is packed has one time, and the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)

.PHONY: binaries
binaries: need-go # for every kind of machine, into build/binaries
	@for a in amd64 arm64; do mkdir -p build/binaries/$$a; for b in $(BINARIES); do \
		GOARCH=$$a $(GO_BUILD) -o build/binaries/$$a/$$b ./cmd/$$b || exit 1; done; done

.PHONY: wheel
wheel: venv binaries ## the Python packages, into build/wheels: tfos with the command for x86_64 and aarch64, and tfos-names
	@rm -rf build/wheels
	@for m in amd64=x86_64 arm64=aarch64; do \
		TFOS_BINARIES=$(CURDIR)/build/binaries/$${m%=*} TFOS_MACHINE=$${m#*=} $(PIP_WHEEL) ./python || exit 1; done
	@$(PIP_WHEEL) ./python/names

.PHONY: package
package: need-java binaries wheel ## what people install, into build/packages: a tarball, a .deb, an .rpm and a jar for x86_64 and aarch64, their SBOMs, and the wheels
	GOFLAGS= go -C tools run ./package
	@cp build/wheels/*.whl build/packages/
	@for m in amd64=x86_64 arm64=aarch64; do GOARCH=$${m%=*} deploy/jar/build build/binaries/$${m%=*} build/packages/tfos-$${m#*=}.jar || exit 1; done
	@cd build/packages && sha256sum * >SHA256SUMS && cat SHA256SUMS

.PHONY: packages
packages: need-packagers package ## install each package in a place of its own, and use it
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 60m -tags packages -v ./test/packages

.PHONY: resumes
resumes: build venv jars ## kill and resume a job of each kind at twenty random moments
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 2h -tags e2e -v -run TestResumeIsExact ./test/e2e/ -resumes 20

.PHONY: fuzz
fuzz: MINUTES = 10
fuzz: need-go need-clang ## every fuzz target, and the C code that reads packets: make fuzz MINUTES=10, of all together
	test/fuzz $(MINUTES)

.PHONY: vulnerable
vulnerable: need-go ## known vulnerabilities in what the binaries call, by govulncheck: make vulnerable VULNDB=file:///DIR reads a copy of the database
	@mkdir -p build
	@if go tool govulncheck $(if $(VULNDB),-db $(VULNDB)) ./cmd/... 2>&1 | tee build/vulnerable.txt; [ $${PIPESTATUS[0]} != 0 ]; then \
		grep -q '^govulncheck: fetching vulnerabilities' build/vulnerable.txt || exit 1; \
		echo "NOT CHECKED for known vulnerabilities: the database cannot be reached (above); name a copy with VULNDB=file:///DIR" >&2; \
	fi

.PHONY: simulate
simulate: need-go ## play 100,000 seeded jobs in a world where everything goes wrong
	GOGC=400 go test -count=1 -timeout 1h ./internal/sim -run "TestInvariants|TestPlans" -v -seeds 100000 -plan-seeds 300

.PHONY: checkpoints
checkpoints: build venv ## verify 1,000 random checkpoints of TensorFlow, and find a flipped bit in each
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 1h -tags e2e -v -run TestCheckpointsOfTensorFlow ./test/e2e -checkpoints 1000

.PHONY: versions
versions: build venv jar ## the smoke test on Hadoop 2.10 and 3.5
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 40m -tags e2e,versions -p 1 -run TestVersions ./test/e2e/...

.PHONY: bench
bench: build venv jars ## times and memory on one real cluster, beside stock DistributedShell
	TFOS_PYTHON=$(PYTHON) go test -count=1 -timeout 40m -tags e2e,bench -p 1 -v -run '^TestBench' ./test/e2e/...
	TFOS_PYTHON=$(PYTHON) go test -count=1 -tags e2e -run '^$$' -bench . ./internal/endpoint
	go test -count=1 -run '^$$' -bench . ./internal/membership
	go test -count=1 -run '^$$' -bench 'Memory|Master' -benchtime 1x ./internal/control ./test/light
	$(MAKE) bench-feeding

.PHONY: bench-feeding
bench-feeding: need-java build venv sparks build/tensorflowonspark ## rows a second from Spark into programs, beside TensorFlowOnSpark's own, four minutes on two cores that have nothing else to do
	cd test/spark && export TFOS=$(CURDIR)/bin/tfos PYTHONPATH=$(CURDIR)/python:$(CURDIR)/build/spark-$(firstword $(SPARKS)) && \
		$(PYTHON) -B bench_feeding.py $(CURDIR)/build/tensorflowonspark

build/tensorflowonspark: # what bench-feeding compares with, from PyPI
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --target $@ tensorflowonspark==2.2.5

.PHONY: generate
generate: need-go ## the Go code of the .proto files
	go -C tools run ./generate

.PHONY: library
library: need-cc need-java sparks ## the C libraries, for each kind of machine there is a compiler for, and the classes for Spark; they are committed
	internal/endpoint/build
	internal/fileserver/build
	internal/supervise/guard/build
	python/native/build
	python/java/build build/spark-$(firstword $(SPARKS))

.PHONY: venv
venv: ## the Python environment of the examples and tests, in build/venv, and a uv in build/venv-uv
	@deploy/python/venv.sh $(VENV)
	@deploy/python/venv.sh $(CURDIR)/build/venv-uv uv

.PHONY: jars
jars: need-java ## Hadoop's jars, in build/testcluster
	@$(CLUSTER) fetch

.PHONY: clean
clean: ## remove what was built, but not the Python environment and the jars
	rm -rf bin

.PHONY: need-go need-java need-cc need-clang need-ip need-packagers need-chromium need-prometheus
need-go:
	@command -v go >/dev/null || { echo "go is missing: install Go 1.26 or newer (Debian: apt-get install golang; else go.dev/dl)" >&2; exit 1; }
need-java:
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "a JDK and Maven are missing: Debian: apt-get install openjdk-17-jdk-headless maven" >&2; exit 1; }
need-cc:
	@command -v cc >/dev/null || { echo "a C compiler is missing: Debian: apt-get install gcc libc6-dev" >&2; exit 1; }
need-clang: # a machine that tests as root gets it, as iproute2
	@command -v clang >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -qq -y clang libclang-rt-dev; } || \
		{ echo "clang with libFuzzer is missing: Debian: apt-get install clang libclang-rt-dev" >&2; exit 1; }
need-ip: # for hosts with networks of their own; a machine that tests as root gets it, like TensorFlow and the jars
	@command -v ip >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -qq -y iproute2; } || \
		{ echo "iproute2 is missing: Debian: apt-get install iproute2" >&2; exit 1; }
need-packagers: # likewise
	@for c in rpm fish zsh man-db bash-completion; do dpkg -s $$c >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get install -qq -y --no-install-recommends $$c; } || \
		{ echo "$$c is missing: Debian: apt-get install $$c" >&2; exit 1; }; done
need-chromium: # likewise
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -qq -y --no-install-recommends chromium; } || \
		{ echo "chromium is missing: Debian: apt-get install chromium" >&2; exit 1; }
need-prometheus: # likewise
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -qq -y --no-install-recommends prometheus; } || \
		{ echo "prometheus is missing: Debian: apt-get install prometheus" >&2; exit 1; }

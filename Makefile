# What there is to do here; `make help` lists it. Targets that need programs of
# the system install Debian's packages for them, and say so before they do.

SHELL   := /bin/bash
GO      ?= go
CACHE   := $(CURDIR)/.cache

# The version comes from git where there is git, never from the build itself:
# a checkout that git refuses to read must still build.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FLAGS   := -trimpath -buildvcs=false
LDFLAGS := -s -w -X main.version=$(VERSION)

GOLANGCI_VERSION    := 2.15.0
GOVULNCHECK_VERSION := v1.1.4
FUZZTIME            ?= 10s
PACKAGES            ?= ./...

.DEFAULT_GOAL := help
.PHONY: help run build test unit race lint fuzz bench docs vulncheck clean test-tools

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: build ## build, and start the demonstration with its own directory
	@exec bin/gatehouse demo

build: gcc ## build bin/gatehouse
	@mkdir -p bin
	CGO_ENABLED=1 $(GO) build $(FLAGS) -ldflags '$(LDFLAGS)' -o bin/gatehouse ./cmd/gatehouse

# SQLite is C: without a compiler the build would fail far from the reason.
.PHONY: gcc
gcc:
	@command -v "$${CC:-gcc}" >/dev/null || .ci/install-packages gcc libc6-dev

test: test-tools unit race ## install what the tests need, then run them all, and again with the race detector

# -count=1: these tests talk to programs whose versions Go's cache knows nothing of.
unit: gcc
	$(GO) test -buildvcs=false -count=1 -timeout 15m $(PACKAGES)

race: gcc
	$(GO) test -buildvcs=false -count=1 -timeout 15m -race -short $(PACKAGES)

test-tools: ## install the directories, Apache, browser and axe that the tests use
	@.ci/install-packages gcc libc6-dev openssl slapd slapd-contrib ldap-utils 389-ds-base \
	  samba-ad-dc samba-ad-provision samba-dsdb-modules ldb-tools \
	  apache2-bin libapache2-mod-auth-openidc chromium fonts-dejavu-core
	@.ci/fetch-axe $(CACHE)/axe.min.js

lint: gcc ## vet, golangci-lint and formatting
	$(GO) vet ./...
	@PATH="$(CACHE)/bin:$$PATH:$$($(GO) env GOPATH)/bin"; \
	if [ "$$(golangci-lint version --short 2>/dev/null)" != "$(GOLANGCI_VERSION)" ]; then \
	  echo "building golangci-lint $(GOLANGCI_VERSION) into .cache/bin (once, a minute or two)"; \
	  GOFLAGS= GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION) || exit 1; \
	fi; \
	set -x; golangci-lint run && golangci-lint fmt --diff

fuzz: gcc ## run every fuzz test for FUZZTIME (10s)
	@$(GO) list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go 2>/dev/null); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
	  done; \
	done

bench: build test-tools ## measure the real server on a real directory, beside the targets
	$(GO) run -buildvcs=false ./cmd/bench -server bin/gatehouse $(BENCHFLAGS)

docs: gcc ## write the reference documents anew from the code that they describe
	$(GO) generate ./...

vulncheck: ## look the dependencies up in Go's vulnerability database (needs the network)
	GOFLAGS= GOBIN=$(CACHE)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	$(CACHE)/bin/govulncheck ./...

clean: ## remove what was built
	rm -rf bin .cache cover.out

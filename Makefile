# The front door. `make` alone lists the targets.
#
#   make train JOB=examples/mnist.json CHANNEL=s3 WORKERS=4 SET='epochs=1' CONTEXT='worker_timeout_seconds=40'

SHELL := bash
.DEFAULT_GOAL := help

JOB ?= examples/mnist.json
CHANNEL ?=
WORKERS ?=
SET ?=
CONTEXT ?=
MODEL ?=
PROFILE ?=
BUDGET ?=
DEADLINE ?=
STAGE ?= dev
TWIN_PORT ?= 4566
TWIN_CACHE_HOST ?= 127.0.0.1

export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
# A list of Node's major versions; without it jsii fills the screen about an old one.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export TWIN_PORT TWIN_CACHE_HOST
# Through the environment, so that no shell takes the quotes out of JSON.
export PAYTRAIN_JOB = $(JOB)
export PAYTRAIN_CHANNEL = $(CHANNEL)
export PAYTRAIN_WORKERS = $(WORKERS)
export PAYTRAIN_SET = $(SET)
export PAYTRAIN_CONTEXT = $(CONTEXT)
export PAYTRAIN_STAGE = $(STAGE)
export PAYTRAIN_MODEL = $(MODEL)
export PAYTRAIN_PROFILE = $(PROFILE)
export PAYTRAIN_BUDGET = $(BUDGET)
export PAYTRAIN_DEADLINE = $(DEADLINE)

CDK_ARGUMENTS = --output out/cdk --context stage=$(STAGE) $(foreach pair,$(CONTEXT),--context '$(pair)')

.PHONY: help setup memcached containers train plan calibrate twin-start twin-deploy twin-stop test image-test bench synth deploy destroy lint format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready node_modules/.ready memcached ## install what is missing on this machine

.venv/.ready: requirements.txt requirements-dev.txt layers/paytrain/pyproject.toml
	@local/setup.sh python
	@touch $@

node_modules/.ready: package.json package-lock.json
	@local/setup.sh node
	@touch $@

memcached:
	@command -v memcached >/dev/null || local/setup.sh memcached

containers:
	@for tool in podman buildah debootstrap runc; do \
		command -v $$tool >/dev/null || exec local/setup.sh containers; \
	done

train: twin-deploy ## train in the laptop twin: JOB= CHANNEL= WORKERS= SET= CONTEXT=
	@python -m local.train --twin

plan: setup ## compare all ways to run a job, without running it: JOB= MODEL= BUDGET= DEADLINE= SET= PROFILE=
	@python -m local.plan

calibrate: twin-deploy ## measure the services from inside the workers, in the laptop twin
	@python -m local.calibrate --twin

twin-start: setup ## start the laptop twin, an AWS emulator on TWIN_PORT
	@python -m local.twin start

twin-deploy: twin-start ## deploy the stack into the laptop twin: CONTEXT=
	@python -m local.deploy

twin-stop: ## stop the laptop twin
	@python -m local.twin stop

test: setup ## every test that needs no AWS account
	@pytest

image-test: setup containers ## build the worker image and run it as Lambda would; as root, on Debian
	@[ "$$(id -u)" = 0 ] || { echo "make image-test needs root: sudo make image-test"; exit 1; }
	@pytest tests/image -m image

bench: twin-deploy ## the benchmarks, in the laptop twin, into out/bench
	@python -m bench

synth: setup ## the CloudFormation template, into out/cdk: CONTEXT= STAGE=
	@cdk synth --quiet $(CDK_ARGUMENTS)

deploy: setup ## deploy the stack into your AWS account: CONTEXT= STAGE=
	@cdk deploy $(CDK_ARGUMENTS)

destroy: setup ## remove the stack from your AWS account: CONTEXT= STAGE=
	@cdk destroy $(CDK_ARGUMENTS)

lint: setup ## ruff and mypy
	@ruff check .
	@ruff format --check .
	@mypy --strict layers/paytrain/python stacks

format: setup ## let ruff format the code and sort the imports
	@ruff check --fix .
	@ruff format .

clean: ## stop the laptop twin and remove what can be made again, but not .venv and node_modules
	@[ ! -e .venv/.ready ] || python -m local.twin stop
	@rm -rf out cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +

#!/usr/bin/env bash
# Everything that a change has to pass: lint, vet, generated documents, a few seconds of each fuzz test and all tests
# with the race detector against a PostgreSQL of their own. Installs what is missing where it can. The tests come last,
# so that their result is what stands at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

step 'needs'
scripts/install-deps.sh test
step 'lint'
make --no-print-directory lint
step 'vet'
make --no-print-directory vet
step 'generated documents'
make --no-print-directory docs-check
step 'fuzz'
make --no-print-directory fuzz-short
step 'tests'
make --no-print-directory race

#!/usr/bin/env bash
# Runs every fuzz test for a moment (SLUICE_FUZZTIME, default 2s), after its seeds. New ones are found by themselves.
# Most of the first run is compiling with instrumentation, which Go's cache keeps. Vet is off because lint includes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

go=${GO:-go}

# fuzz PACKAGE NAME runs one fuzz test and prints what it printed.
fuzz() {
  "$go" test -vet=off -run='^$' -fuzz="^$2\$" -fuzztime="${SLUICE_FUZZTIME:-2s}" "./$1" </dev/null 2>&1
}

found=0
while IFS=: read -r file name; do
  found=$((found + 1))
  echo "$(dirname "$file") $name"
  for attempt in 1 2 3 4 5; do
    output=$(fuzz "$(dirname "$file")" "$name") && break
    # On a busy machine Go's fuzzer sometimes takes the end of its own time for a failure. Then there is no input to blame.
    if [ "$attempt" -eq 5 ] || ! grep -q 'context deadline exceeded' <<<"$output" || grep -q 'Failing input written' <<<"$output"; then
      printf '%s\n' "$output"
      exit 1
    fi
  done
  tail -n 1 <<<"$output"
done < <(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd internal test | sed 's/:func /:/' | sort)
echo "$found fuzz tests"
[ "$found" -gt 0 ]

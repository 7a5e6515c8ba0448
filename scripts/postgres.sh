#!/usr/bin/env bash
# postgres.sh COMMAND...: runs COMMAND with SLUICE_TEST_POSTGRES set to a PostgreSQL cluster that exists only while it
# runs. The cluster lives in a temporary folder, listens on 127.0.0.1 and does not sync: it is for tests.
# postgres.sh --find: prints the folder of PostgreSQL's programs, or fails.
# When SLUICE_TEST_POSTGRES is set already, or PostgreSQL is not installed (outside of CI), COMMAND runs as it is.
set -euo pipefail

find_bin() {
  local dir
  for dir in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV); do
    [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && { echo "$dir"; return; }
  done
  dir=$(command -v initdb) && command -v pg_ctl >/dev/null && dirname "$dir"
}

if [ "${1:-}" = --find ]; then
  find_bin
  exit
fi
[ $# -gt 0 ] || { echo 'usage: postgres.sh COMMAND...' >&2; exit 2; }
[ -z "${SLUICE_TEST_POSTGRES:-}" ] || exec "$@"
if ! bin=$(find_bin); then
  [ -z "${CI:-}" ] || { echo 'PostgreSQL is missing: run scripts/install-deps.sh test' >&2; exit 1; }
  echo 'PostgreSQL is missing: its tests are skipped' >&2
  exec "$@"
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-postgres.XXXXXX")
as=() # PostgreSQL refuses to run as root
if [ "$(id -u)" -eq 0 ]; then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
  chown "$user" "$dir"
fi
# Not in this folder: the user that PostgreSQL runs as may have no access to it.
pg() { (cd "$dir" && env HOME="$dir" "${as[@]}" "$@" </dev/null); }

stop() {
  status=$?
  trap - EXIT
  pg "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$dir"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! pg "$bin/initdb" -D "$dir/data" -U sluice -E UTF8 --locale=C --auth=trust --no-sync >"$dir/initdb.log" 2>&1; then
  cat "$dir/initdb.log" >&2
  exit 1
fi
for _ in 1 2 3 4 5; do # another program may take the port first
  port=$((20000 + RANDOM % 12000))
  options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir"
  options+=' -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200'
  if pg "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 -o "$options" start >/dev/null 2>&1; then
    export SLUICE_TEST_POSTGRES="postgres://sluice@127.0.0.1:$port/postgres?sslmode=disable"
    "$@"
    exit
  fi
done
echo 'PostgreSQL does not start:' >&2
cat "$dir/server.log" >&2
exit 1

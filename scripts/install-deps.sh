#!/usr/bin/env bash
# install-deps.sh build|test: makes sure that what Sluice needs beside Go is there. Missing packages are installed with
# apt-get when this is run by root on a Debian-like system; elsewhere it says what is missing.
#
#   build  a C and C++ compiler (DuckDB is linked in) and the certificates of public authorities
#   test   the same and PostgreSQL
set -euo pipefail

purpose=${1:-build}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
packages=()
first() { echo "${1%% *}"; } # CC may carry flags

command -v go >/dev/null || { echo 'Go is missing: install it from https://go.dev/dl/' >&2; exit 1; }
command -v "$(first "${CC:-gcc}")" >/dev/null || packages+=(gcc libc6-dev)
command -v "$(first "${CXX:-g++}")" >/dev/null || packages+=(g++)
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || [ -e /etc/ssl/cert.pem ] || packages+=(ca-certificates)
if [ "$purpose" = test ] && [ -z "${SLUICE_TEST_POSTGRES:-}" ] && ! "$here/postgres.sh" --find >/dev/null; then
  packages+=(postgresql)
fi

if [ ${#packages[@]} -eq 0 ]; then
  echo "everything is there for: $purpose"
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${packages[*]}" >&2
  echo "install them (on Debian, as root: apt-get install ${packages[*]}) and run this again" >&2
  if [ "${packages[*]}" = postgresql ] && [ -z "${CI:-}" ]; then
    echo 'going on without PostgreSQL: its tests are skipped' >&2
    exit 0
  fi
  exit 1
fi
echo "installing: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# The tests start a cluster of their own: the package must not start one as a service.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
apt-get install -q -y --no-install-recommends "${packages[@]}"

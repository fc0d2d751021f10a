#!/usr/bin/env bash
# deps.sh run|test|tempest: installs what is missing for it, by package name,
# fetches what its tests unpack beside the system, and says so. Services that
# come with the packages are not started. One at a time.
#   deps.sh packages: the packages that nothing but this project may have wanted
set -euo pipefail
cd "$(dirname "$0")/.."
word=${1:-test}
# What every machine that builds software has, and a bare one has not.
common=(ca-certificates gcc libc6-dev iproute2 iptables procps util-linux)
packages=(postgresql docker.io busybox-static)
[ "$word" = run ] || packages+=(rabbitmq-server prometheus prometheus-alertmanager
    prometheus-node-exporter docker-registry openssl openssh-client openssh-server python3-venv)
if [ "$word" = packages ]; then printf '%s\n' "${packages[@]}"; exit; fi

exec 9>"${TMPDIR:-/tmp}/senlin-deps-$(id -u).lock"
flock 9
missing=()
for package in "${common[@]}" "${packages[@]}"; do
    # A package that was removed may still be known.
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "Missing packages: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"; exit 1; }
    echo "Installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Nobody asked for the packages' own servers.
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; fi
    trap '[ -z "$made" ] || rm -f $policy' EXIT
    apt-get -o DPkg::Lock::Timeout=300 update -q >/dev/null || true
    apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "${missing[@]}" >/dev/null 9>&-
fi
command -v cargo >/dev/null || { echo "A Rust toolchain is needed: cargo is not in PATH."; exit 1; }
case $word in
test) scripts/newer-engine.sh >/dev/null; scripts/python.sh keystone clients tools ;;
tempest) scripts/python.sh keystone tempest ;;
esac

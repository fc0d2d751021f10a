#!/usr/bin/env bash
# deps.sh run|test: installs what is missing for it, by package name, and says
# so. Services that come with the packages are not started.
set -euo pipefail
packages=(postgresql docker.io iptables iproute2 busybox-static)
[ "${1:-test}" = run ] || packages+=(rabbitmq-server prometheus prometheus-alertmanager
    prometheus-node-exporter docker-registry openssl openssh-client openssh-server python3-venv)
missing=()
need() { dpkg -s "$1" >/dev/null 2>&1 || missing+=("$1"); }
for package in "${packages[@]}"; do need "$package"; done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "Missing packages: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"; exit 1; }
    echo "Installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Nobody asked for the packages' own servers.
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; fi
    trap '[ -z "$made" ] || rm -f $policy' EXIT
    apt-get update -q >/dev/null || true
    apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi
command -v cargo >/dev/null || { echo "A Rust toolchain is needed: cargo is not in PATH."; exit 1; }

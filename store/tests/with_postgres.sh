#!/bin/sh
# Run a command beside a throw-away PostgreSQL server that its tests may use.
#
#   initdb ─▶ server on a socket in a folder of its own ─▶ command ─▶ server and folder are gone
#
# Usage: store/tests/with_postgres.sh COMMAND [ARGUMENT...]
#
# The command finds the server's address in SELVEDGE_TEST_POSTGRES. The exit code is the
# command's. Never touches a server that it did not start; opens no network port. When this
# script is killed, the kernel ends the server. Without the server's programs it fails and
# says so: a test that did not run must not look like one that passed.
set -eu

main() {
    programs=$(newest_programs)
    [ -n "$programs" ] ||
        fail "found no PostgreSQL server programs under /usr/lib/postgresql; run setup/install.sh"
    # Its socket lies in the folder too, and a socket's path must be short.
    folder=$(mktemp -d /tmp/selvedge-postgres.XXXXXX)
    server=
    trap clean_up EXIT
    trap 'exit 130' HUP INT TERM

    as=
    if [ "$(id -u)" -eq 0 ]; then
        # The server refuses to run as root.
        chown postgres "$folder"
        as='--reuid=postgres --regid=postgres --clear-groups'
    fi
    # shellcheck disable=SC2086 # a list of options
    (cd / && setpriv $as "$programs/initdb" -D "$folder/data" -A trust -U mill --no-sync -E UTF8) \
        >"$folder/log" 2>&1 || fail "initdb failed: $(cat "$folder/log")"
    # shellcheck disable=SC2086 # a list of options
    (cd / && exec setpriv --pdeathsig QUIT $as "$programs/postgres" -D "$folder/data" -k "$folder" \
        -c listen_addresses= -c fsync=off -c max_connections=200) \
        >"$folder/log" 2>&1 &
    server=$!
    until "$programs/pg_isready" -q -h "$folder"; do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat "$folder/log")"
        sleep 0.1
    done
    SELVEDGE_TEST_POSTGRES="postgres://mill@localhost/postgres?host=$folder" "$@"
}

newest_programs() {
    for programs in /usr/lib/postgresql/*/bin; do
        if [ -x "$programs/initdb" ]; then echo "$programs"; fi
    done | sort -V | tail -n 1
}

clean_up() {
    if [ -n "$server" ]; then
        kill -QUIT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}

fail() {
    printf 'with_postgres: %s\n' "$*" >&2
    exit 2
}

main "$@"

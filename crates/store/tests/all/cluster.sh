#!/bin/sh
# A PostgreSQL for the tests: started by the first of them, ended when none holds "users" any more.
# cluster.sh make|up|down|keep FOLDER
set -eu
cd "$2"
for bin in /usr/lib/postgresql/*/bin; do :; done
[ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb)")
user=postgres
id "$user" >/dev/null 2>&1 || user=nobody

# PostgreSQL refuses to run as root.
as_user() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
    else
        "$@"
    fi
}
up() { as_user "$bin/pg_ctl" -D data -l data/log -w -t 60 start; }
down() { as_user "$bin/pg_ctl" -D data -m immediate -w stop; }

case $1 in
up) up ;;
down) down ;;
make)
    [ ! -e data ] || down || true
    rm -rf data
    mkdir -m 700 data
    [ "$(id -u)" != 0 ] || chown "$user" data
    as_user "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync
    cat >> data/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$PWD/data'
max_connections = 100
fsync = off
full_page_writes = off
deadlock_timeout = 100ms
log_line_prefix = '%d %p '
CONF
    up
    ;;
keep)
    exec 7<watch
    flock -n 7 || exit 0
    idle=0
    while [ "$idle" -lt 5 ]; do
        sleep 1
        # Nobody starts or begins to use it while we look.
        exec 8<start
        flock 8
        exec 9<users
        if flock -n 9; then idle=$((idle + 1)); else idle=0; fi
        if [ "$idle" -ge 5 ]; then
            down || true
            rm -rf data
        fi
        exec 9<&- 8<&-
    done
    ;;
esac

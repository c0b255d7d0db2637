#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts Postgres in a container. At the first start it makes the database that the variables of Docker's official image ask for:
# POSTGRES_USER, POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_DB, PGDATA, and runs what is in /docker-entrypoint-initdb.d.
# What is not whole is made anew at the next start: it gets its place only once everything has been done.
set -euo pipefail

[ "${1:-postgres}" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$(dirname "$PGDATA")"
	chown postgres:postgres "$(dirname "$PGDATA")"
	[ ! -e "$PGDATA" ] || chown -R postgres:postgres "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

user=${POSTGRES_USER:-postgres}
db=${POSTGRES_DB:-$user}

initialise() {
	local password=${POSTGRES_PASSWORD:-} new=$PGDATA.new file
	[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || password=$(<"$POSTGRES_PASSWORD_FILE")
	[ -n "$password" ] || { echo "postgres: there is no password: set POSTGRES_PASSWORD_FILE" >&2; exit 1; }
	rm -rf "$new"
	initdb --pgdata="$new" --username="$user" --pwfile=<(printf '%s\n' "$password") --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8
	echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
	# Until all is done it is heard on its socket alone, so that nobody takes it for ready.
	pg_ctl --pgdata="$new" --options="-c listen_addresses=''" --wait start
	[ "$db" = postgres ] || createdb --username="$user" "$db"
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sql) psql --no-psqlrc -v ON_ERROR_STOP=1 --username="$user" --dbname="$db" --file="$file" ;;
		*.sql.gz) gunzip -c "$file" | psql --no-psqlrc -v ON_ERROR_STOP=1 --username="$user" --dbname="$db" ;;
		*.sh) . "$file" ;;
		esac
	done
	pg_ctl --pgdata="$new" --mode=fast --wait stop
	[ ! -d "$PGDATA" ] || rmdir "$PGDATA" 2>/dev/null || { echo "postgres: $PGDATA holds something that is no database" >&2; exit 1; }
	mv "$new" "$PGDATA"
	sync -f "$PGDATA"
}

[ -s "$PGDATA/PG_VERSION" ] || initialise
shift || true
exec postgres -D "$PGDATA" -c listen_addresses='*' "$@"

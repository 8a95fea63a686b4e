#!/bin/sh
# Entrypoint of the stand-in for MySQL's image (base_images.sh). It does what the compose file relies on:
# flags as arguments, MYSQL_DATABASE, MYSQL_USER, MYSQL_PASSWORD, MYSQL_ROOT_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD,
# and MYSQL_PASSWORD_FILE and MYSQL_ROOT_PASSWORD_FILE, which name files that hold the passwords.
set -eu

data=/var/lib/mysql
fresh=$data/.initialising

case ${1:-} in '' | -*) set -- mysqld "$@" ;; esac
[ "$1" = mysqld ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    mkdir -p /run/mysqld
    chown mysql:mysql /run/mysqld
    find "$data" ! -user mysql -exec chown mysql:mysql {} +
    exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
shift
set -- --secure-file-priv=NULL --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid "$@"

# from_file NAME: the file that NAME_FILE names holds what NAME would. Both is a mistake.
from_file() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    [ -n "$file" ] || return 0
    [ -z "$value" ] || { echo "set $1 or $1_FILE, not both" >&2; exit 1; }
    value=$(cat "$file") || exit 1
    eval "$1=\$value"
}

quote() { printf "'%s'" "$(printf %s "$1" | sed "s/[\\\\']/\\\\&/g")"; }

# One statement a line, as --init-file wants it. printf, because echo may read backslashes in a password.
first_statements() {
    printf '%s\n' "ALTER USER root@localhost IDENTIFIED BY $(quote "$root_password");"
    [ -z "${MYSQL_DATABASE:-}" ] || printf '%s\n' "CREATE DATABASE \`$MYSQL_DATABASE\`;"
    [ -n "${MYSQL_USER:-}" ] || return 0
    printf '%s\n' "CREATE USER $(quote "$MYSQL_USER")@'%' IDENTIFIED BY $(quote "${MYSQL_PASSWORD:-}");"
    [ -n "${MYSQL_DATABASE:-}" ] || return 0
    # An underscore in GRANT is a wildcard unless it is escaped.
    pattern=$(printf %s "$MYSQL_DATABASE" | sed 's/_/\\_/g')
    printf '%s\n' "GRANT ALL ON \`$pattern\`.* TO $(quote "$MYSQL_USER")@'%';"
}

initialise() {
    from_file MYSQL_PASSWORD
    from_file MYSQL_ROOT_PASSWORD
    root_password=${MYSQL_ROOT_PASSWORD:-}
    if [ -n "${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
        root_password=$(head -c 24 /dev/urandom | base64)
        echo "GENERATED ROOT PASSWORD: $root_password" >&2
    fi
    [ -n "$root_password" ] || { echo "set MYSQL_ROOT_PASSWORD or MYSQL_RANDOM_ROOT_PASSWORD" >&2; exit 1; }
    umask 077
    first_statements >/tmp/first_statements.sql
    rm -rf "$fresh"
    mysqld "$@" --datadir="$fresh" --initialize-insecure --init-file=/tmp/first_statements.sql
    rm -f /tmp/first_statements.sql
    # The system schema moves last: it is the sign that the data folder is whole.
    find "$fresh" -mindepth 1 -maxdepth 1 ! -name mysql -exec mv {} "$data" \;
    mv "$fresh/mysql" "$data"
    rmdir "$fresh"
}

[ -d "$data/mysql" ] || initialise "$@"
exec mysqld --datadir="$data" "$@"

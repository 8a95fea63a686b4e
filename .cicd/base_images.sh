#!/usr/bin/env bash
# Stand-ins for the base images, for a machine that cannot pull from a registry.
# They are made of Debian packages and carry the names that the Dockerfiles and the compose file ask for.
# An image that exists already, pulled or made, is left alone. Needs root (debootstrap) and a Debian mirror.
set -euo pipefail
cd "$(dirname "$0")/.."

MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
KEYRING=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
python_image=${PYTHON_IMAGE:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' timer_api/Dockerfile)}
mysql_image=${MYSQL_IMAGE:-$(sed -n 's/.*image: ${MYSQL_IMAGE:-\(.*\)}/\1/p' docker-compose.yml)}
nginx_image=${NGINX_IMAGE:-$(sed -n 's/.*image: ${NGINX_IMAGE:-\(.*\)}/\1/p' deploy/compose/balanced.yml)}

fail() { echo "base_images: $*" >&2; exit 1; }

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

prepare() {
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root; run it with sudo"
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || fail "debootstrap is missing, and so is apt-get to install it"
        sh .cicd/apt_install.sh debootstrap debian-archive-keyring
    fi
    # Without a keyring debootstrap only warns and then trusts whatever the mirror sends.
    [ -r "$KEYRING" ] || fail "no keyring at $KEYRING; install debian-archive-keyring or set DEBIAN_KEYRING"
}

# install_root SUITE PACKAGES...: a minimal Debian with these packages in $root, checked against the keyring.
install_root() {
    local suite=$1 packages
    shift
    packages=$(IFS=,; echo "$*")
    debootstrap --force-check-gpg --keyring="$KEYRING" --variant=minbase --include="$packages" \
        "$suite" "$root" "$MIRROR" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; fail "debootstrap $suite failed"; }
}

# import_root IMAGE CHANGES...: what is in $root, without what no container reads, becomes IMAGE.
import_root() {
    local image=$1 change changes=()
    shift
    for change in "$@"; do changes+=(--change "$change"); done
    rm -rf "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/* \
        "$root"/usr/share/{doc,man,info,locale,lintian,bug} "$root"/etc/{resolv.conf,hostname}
    # A half-written stream would still be imported; a file makes a tar that failed stop the script.
    tar --one-file-system -C "$root" -cf "$work/root.tar" .
    docker import "${changes[@]}" --message "stand-in made of Debian packages" "$work/root.tar" "$image" >/dev/null
    rm -rf --one-file-system "$root" "$work/root.tar"
    echo "base_images: made $image"
}

# Python's own image has its interpreter in /usr/local/bin and, in the slim variant, these three other packages.
# pip comes with each virtual environment (ensurepip), so Debian's pip and its 30 MB are left out.
make_python() {
    install_root bookworm python3 python3-venv ca-certificates netbase tzdata
    ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    import_root "$python_image" 'CMD ["python3"]' \
        'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8'
}

# The core packages only: mysql-server would also create a database on installation and add a service.
make_mysql() {
    install_root sid mysql-server-core mysql-client-core
    local version
    version=$(chroot "$root" mysqld --version)
    case $version in
        *"Ver ${mysql_image##*:}"[.-]*) ;;
        *) fail "Debian unstable has $version by now, not $mysql_image; DEBIAN_MIRROR may name a snapshot.debian.org date" ;;
    esac
    # 999 is the official image's uid, so that a volume can move between the two.
    chroot "$root" useradd --system --uid 999 --user-group --home-dir /var/lib/mysql --shell /usr/sbin/nologin mysql
    install -d -o 999 -g 999 "$root"/var/lib/mysql "$root"/run/mysqld
    install -m 755 .cicd/mysql_entrypoint.sh "$root/usr/local/bin/docker-entrypoint.sh"
    import_root "$mysql_image" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["mysqld"]' 'VOLUME /var/lib/mysql' \
        'EXPOSE 3306 33060' 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin'
}

make_nginx() {
    install_root bookworm nginx-light
    # 101 is the official image's uid.
    chroot "$root" useradd --system --uid 101 --user-group --no-create-home --shell /usr/sbin/nologin nginx
    import_root "$nginx_image" 'CMD ["nginx", "-g", "daemon off;"]' 'EXPOSE 80' \
        'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

command -v docker >/dev/null || fail "docker is missing"
docker info >/dev/null 2>&1 || fail "the docker engine does not answer"
[ -n "$python_image" ] && [ -n "$mysql_image" ] && [ -n "$nginx_image" ] ||
    fail "no image names in timer_api/Dockerfile, docker-compose.yml and deploy/compose/balanced.yml"

work=$(mktemp -d)
root=$work/root
trap 'umount -q "$root/proc" "$root/sys" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT

for name in python mysql nginx; do
    image=${name}_image
    if has_image "${!image}"; then
        echo "base_images: ${!image} is here already"
    else
        prepare
        "make_$name"
    fi
done

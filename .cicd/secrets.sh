#!/bin/sh
# Makes a folder with secrets for docker-compose.yml: sh .cicd/secrets.sh [FOLDER]    (default: .secrets)
# Only its owner may enter the folder; the files in it can be read by the users inside the containers.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.secrets}
case $folder in /*) ;; *) folder=./${folder#./} ;; esac

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
hexadecimal() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
put() { printf '%s\n' "$2" >"$folder/$1"; chmod 444 "$folder/$1"; }

mkdir -m 700 "$folder" 2>/dev/null || { echo "secrets: $folder is there already, or cannot be made" >&2; exit 1; }
password=$(hexadecimal 24)
put db_password "$password"
put db_url "mysql://timer:$password@timer-db:3306/timer"
put api_keys "$(hexadecimal 32)"
put encryption_keys "k1:$(random 32)"
put signing_secrets "whsec_$(random 32)"
: >"$folder/egress_proxy"
chmod 644 "$folder/egress_proxy"

cat <<END
secrets: made $folder. Keep a copy of encryption_keys elsewhere: what it sealed cannot be read without it.
In .env (leave out what you do not want to use):
TIMER_SECRETS=$folder
TIMER_API_KEYS_FILE=/run/secrets/api_keys
TIMER_ENCRYPTION_KEYS_FILE=/run/secrets/encryption_keys
TIMER_SIGNING_SECRETS_FILE=/run/secrets/signing_secrets
END

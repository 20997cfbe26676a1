#!/usr/bin/env bash
# Searches the output of a test run for secrets. No secret may appear in logs, errors, metrics or the database.
#
#   scripts/secrets.sh RECORD [OUTPUT...]
#
# RECORD is the folder that integration/src/record.rs fills: `secrets`, one per line, and `output/`. OUTPUT are further
# files. It searches for every recorded secret, and for every text in the form of one: an API key with its secret, a signed
# token, a private key. It fails if one is found, and also if no secret was recorded or no output was kept, because then the
# search would prove nothing. It prints only the place, never the secret.
set -euo pipefail
record=$1
shift

# The forms of secrets: csk_<id>_<secret>, a JWT, a private key in PEM.
forms='csk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{32,}|BEGIN ([A-Z]+ )?PRIVATE KEY'

# shows SECRETS FILE...: prints the places where a secret appears; succeeds if there is one.
shows() {
  local secrets=$1 status=1
  shift
  if LC_ALL=C grep -onFf "$secrets" --binary-files=text -- "$@" /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: a secret that was noted/' | sort -u | grep .; then status=0; fi
  if LC_ALL=C grep -onE --binary-files=text -e "$forms" -- "$@" /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: what has the form of a secret/' | sort -u | grep .; then status=0; fi
  return "$status"
}

# A search that does not find a planted secret would never find one.
self_test() {
  local folder planted
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' RETURN
  printf 'a-secret-that-was-noted\n' >"$folder/noted"
  for planted in 'log: a-secret-that-was-noted' "csk_$(printf '%032d' 1)_$(printf '%043d' 2)" \
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.$(printf '%086d' 3)" '-----BEGIN PRIVATE KEY-----'; do
    printf 'one line\n\0%s\n' "$planted" >"$folder/output"
    shows "$folder/noted" "$folder/output" >/dev/null || { echo "secrets: FAILED: does not find what was planted: $planted" && return 1; }
  done
  printf 'csk_%032d and nothing more\n' 1 >"$folder/output"
  ! shows "$folder/noted" "$folder/output" || { echo 'secrets: FAILED: finds what is not there' && return 1; }
}

self_test
[[ -s $record/secrets ]] || { echo 'secrets: FAILED: no secret was noted' && exit 1; }
mapfile -t outputs < <(find "$record/output" "$@" -type f -size +0)
for kind in stderr metrics database errors; do
  printf '%s\n' "${outputs[@]}" | grep -q -- "-$kind\$" || { echo "secrets: FAILED: no $kind was kept" && exit 1; }
done
sort -u "$record/secrets" >"$record/noted"
if shows "$record/noted" "${outputs[@]}"; then
  echo 'secrets: FAILED: see the places above'
  exit 1
fi
echo "secrets: none of $(wc -l <"$record/noted") shows in $(cat "${outputs[@]}" | wc -c) bytes of ${#outputs[@]} files"

#!/usr/bin/env bash
# Builds the image of Dockerfile without Docker and without a registry, and starts it as `docker run` would.
#
#   scripts/image.sh PROGRAM   a program that is compiled for this machine
#
# buildah builds it, with two things in place of what a registry would give: the base is this machine's own Debian, made by
# mmdebstrap, and the stage that compiles is an image that holds PROGRAM. Every other line of Dockerfile is run as it
# is. Then the image starts as its own user, in its own root, process and network namespaces, with a bridge's gateway in front:
# what `docker run --rm -p 8080:8080 IMAGE` does. Not tried: a Docker daemon.
#
# Needs root, buildah, mmdebstrap and ip; without them it says so and does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?usage: scripts/image.sh PROGRAM}

skip() { echo "image: NOT TESTED: $*" && exit 0; }
[[ $EUID -eq 0 ]] || skip 'only root can make a root file system and network namespaces'
for tool in buildah mmdebstrap ip; do command -v "$tool" >/dev/null || skip "$tool is missing (scripts/setup.sh test installs it)"; done

cache=$PWD/target/image work=$(mktemp -d /tmp/countersign-image-XXXXXX)
mkdir -p "$cache"
space=cs-$$ gateway=10.213.$(($$ % 256)).1 inside=10.213.$(($$ % 256)).2 stranger=10.213.$(($$ % 256)).9
server=''
stop() {
  local status=$?
  # Whatever fails, the rest is cleared away too.
  set +e
  if [[ -n $server ]]; then kill "$server" && wait "$server"; fi 2>/dev/null
  ip netns delete "$space" 2>/dev/null
  build umount --all >/dev/null 2>&1
  [[ $status -eq 0 || ! -s $work/log ]] || cat "$work/log" >&2
  rm -rf --one-file-system "$work"
  exit "$status"
}
trap stop EXIT
fail() { echo "image: $*" >&2 && exit 1; }
# Storage of its own, so that nothing of this machine's other images is used or kept.
build() { BUILDAH_ISOLATION=chroot buildah --root "$work/storage" --runroot "$work/run" "$@"; }
# made_of NAME SOURCE DESTINATION: an image that holds one thing.
made_of() {
  local container
  container=$(build from scratch)
  build add --quiet "$container" "$2" "$3" >/dev/null
  build commit --quiet --rm "$container" "localhost/$1" >/dev/null
}

# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
base=$cache/$codename.tar
if [[ ! -s $base ]]; then
  echo "image: making a base of Debian $codename"
  mmdebstrap --quiet --variant=minbase "$codename" "$base.new" >"$work/base.log" 2>&1 || { cat "$work/base.log" >&2 && exit 1; }
  mv "$base.new" "$base"
fi
scripts/split_debug.sh "$program" "$work/program"
made_of base "$base" /
made_of program "$work/program/countersign" /countersign

started=$SECONDS
if ! build build --layers=false --build-arg DEBIAN=localhost/base --build-arg PROGRAM=localhost/program \
  --tag countersign --file Dockerfile . >"$work/log" 2>&1; then
  fail 'the image was not built'
fi
: >"$work/log"
container=$(build from countersign)
root=$(build mount "$container")
# configured KEY: what the image says, as Docker reads it.
build inspect --type image countersign >"$work/image.json"
configured() { jq --raw-output ".OCIv1.config.$1" "$work/image.json"; }
echo "image: built in $((SECONDS - started)) s, $(du --summarize --human-readable "$root" | cut -f 1)"

[[ $(configured User) == 10001:10001 ]] || fail 'it does not name a user'
[[ $(configured 'ExposedPorts|keys[0]') == 8080/tcp ]] || fail 'it does not expose 8080'
[[ $(configured 'Volumes|keys[0]') == /var/lib/countersign ]] || fail 'it names no volume'
# The program is the one that was given, and nothing of a build is left.
cmp "$work/program/countersign" "$root/usr/local/bin/countersign"
for left in "$root"/source "$root"/var/lib/apt/lists/* "$root"/var/lib/postgresql/*/main; do
  [[ ! -e $left ]] || fail "it holds ${left#"$root"}"
done

ip netns add "$space"
ip link add "$space" type veth peer name eth0 netns "$space"
ip address add "$gateway/24" dev "$space"
ip address add "$stranger/24" dev "$space"
ip link set "$space" up
ip -netns "$space" address add "$inside/24" dev eth0
ip -netns "$space" link set lo up
ip -netns "$space" link set eth0 up
ip -netns "$space" route add default via "$gateway"

mapfile -t environment < <(configured 'Env[]')
mapfile -t command < <(configured 'Entrypoint[]' && configured 'Cmd[]')
# run COMMAND...: in the image, read-only but for its volume and /tmp, as its user, in place of this shell. Its first process has the number 1, as in any container.
run() {
  # shellcheck disable=SC2016
  exec ip netns exec "$space" unshare --mount --pid --ipc --uts --fork --kill-child=TERM bash -c '
    mount --make-rprivate / && mount --bind "$1" "$1" && cd / && mount --types proc proc "$1/proc" && mount --rbind /dev "$1/dev"
    mount --types tmpfs --options size=64m tmpfs "$1/dev/shm" && mount --types tmpfs tmpfs "$1/tmp"
    mount --bind "$1/var/lib/countersign" "$1/var/lib/countersign" && mount --options remount,bind,ro "$1"
    cd "$1" && shift && exec chroot --userspec=10001:10001 --groups= . "$@"' bash "$root" \
    env --ignore-environment --chdir=/var/lib/countersign "${environment[@]}" "$@"
}
(run touch /usr/local/bin/another) 2>/dev/null && fail 'its root file system can be written'
run "${command[@]}" >"$work/log" 2>&1 </dev/null &
server=$!

# From the machine around it, as over a published port: the name is localhost, the address of the caller is the gateway.
call() { curl --silent --show-error --max-time 10 --connect-to "localhost:8080:$inside:8080" --noproxy '*' "$@"; }
issue=(http://localhost:8080/issue -H 'Content-Type: application/json' -d '{"tool":"billing","sponsor_id":"alice","ttl":300}')
for _ in {1..150}; do
  kill -0 "$server" 2>/dev/null || fail 'it ended'
  call --fail --output /dev/null http://localhost:8080/readyz 2>/dev/null && break
  sleep 0.2
done
call --fail "${issue[@]}" >"$work/issued" || fail 'no credential was issued'
jq --exit-status '.credential // .token | length > 100' "$work/issued" >/dev/null || fail "unexpected answer: $(cat "$work/issued")"
[[ $(call --output /dev/null --write-out '%{http_code}' --interface "$stranger" "${issue[@]}") == 401 ]] ||
  fail 'another machine got a credential without one'
[[ $(call --output /dev/null --write-out '%{http_code}' --resolve "evil.example:8080:$inside" "${issue[@]/localhost/evil.example}") == 401 ]] ||
  fail 'a foreign name got a credential'
mapfile -t owners < <(ps -o uid= --ppid "$server" | tr -d ' ')
[[ ${owners[*]} == 10001 ]] || fail "it runs as ${owners[*]}"

kill "$(ps -o pid= --ppid "$server" | head -n 1)"
wait "$server" || fail 'it did not end well when it was told to'
server=''
echo "image: it runs as 10001, issues a credential to the machine around it and to no other, and ends when it is told to"

#!/usr/bin/env bash
# Does what the README says, ./demo.sh and ./test.sh, on a machine with nothing but its distribution: a folder that
# debootstrap fills, with the last commit of this checkout. Takes about an hour of two cores, 6 GB and root, so it is run
# by hand before a release and when setup.sh, the build or the tests' own needs change.
#
#   .ci/fresh_machine.sh bookworm|trixie|noble [COMMAND...]   (commands in place of ./demo.sh and ./test.sh)
#
#   MIRROR=URL      the archive; otherwise the one that this machine's apt uses, or the distribution's own
#   KEYRING=FILE    whose keys sign it
#   CCACHE=FOLDER   compiled files are kept there from one call to the next
set -euo pipefail
fail() { echo "fresh_machine.sh: $*" >&2; exit 1; }

# Everything is mounted in a namespace of its own, which ends with its last process: however this script ends, nothing
# stays mounted, and removing the folder reaches nothing that was.
if [ "${1:-}" != --in-namespace ]; then
  [ "$(id -u)" -eq 0 ] || fail "debootstrap and chroot need root"
  folder=$(mktemp -d --tmpdir srengine-fresh.XXXXXX)
  inside=
  # Killed, because unshare heeds no other signal; what it has started goes with it.
  trap 'kill -KILL $inside 2>/dev/null || true; { wait; } 2>/dev/null; rm -rf --one-file-system "$folder"' EXIT
  trap 'exit 130' INT TERM HUP
  unshare --mount --pid --fork --kill-child "$0" --in-namespace "$folder" "$@" &
  inside=$!
  wait $inside
  exit
fi
machine=$2 suite=${3:-}
shift 3 || fail "usage: .ci/fresh_machine.sh bookworm|trixie|noble [COMMAND...]"
[ $# -gt 0 ] || set -- ./demo.sh ./test.sh
cd "$(dirname "$0")/.."

case $suite in
  bookworm | trixie) origin=Debian usual=http://deb.debian.org/debian parts=main like=sid ring=debian-archive-keyring ;;
  noble) origin=Ubuntu usual=http://archive.ubuntu.com/ubuntu parts=main,universe like=gutsy
    ring=ubuntu-archive-keyring ;;
  *) fail "'$suite' is not bookworm, trixie or noble" ;;
esac
mirror=${MIRROR:-$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' "Origin: $origin" "Label: $origin" |
  sed -n "1s/^$origin|$origin|//p")}
mirror=${mirror:-$usual}
keyring=${KEYRING:-/usr/share/keyrings/$ring.gpg}
[ -e "$keyring" ] || fail "$keyring is not here; install ${ring/ubuntu-archive/ubuntu}, or name the keys with KEYRING=FILE"
# debootstrap and the apt inside do not read this machine's settings, but both know the variable.
eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
[ -z "${http_proxy:-}" ] || export http_proxy

install() {
  command -v "$1" >/dev/null && return
  echo "== Installing $1"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"; } \
    >"$machine/log" 2>&1 || fail "$1 could not be installed: $(tail -n 1 "$machine/log")"
}
install debootstrap
/usr/lib/apt/apt-helper download-file "$mirror/dists/$suite/InRelease" "$machine/InRelease" >/dev/null 2>&1 ||
  fail "the archive of $suite, $mirror, is not reached; MIRROR=URL names another"

echo "== A bare $suite"
# A debootstrap older than the suite takes it for one like those before.
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=${script%/*}/$like
debootstrap --variant=minbase --components="$parts" --keyring="$keyring" "$suite" "$machine/root" "$mirror" "$script" \
  >"$machine/log" 2>&1 || fail "debootstrap of $suite failed: $(tail -n 1 "$machine/log")"
root=$machine/root
# What a machine that has been started has.
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

checkout=/root/srengine
mkdir "$root$checkout"
git -c safe.directory="$PWD" diff --quiet HEAD || echo "== What is not committed is left out"
git -c safe.directory="$PWD" archive HEAD | tar -x -C "$root$checkout"
variables=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
[ -z "${http_proxy:-}" ] || variables+=("http_proxy=$http_proxy")
if [ -n "${CCACHE:-}" ]; then
  mkdir -p "$CCACHE" "$root/ccache"
  mount --bind "$CCACHE" "$root/ccache"
  variables+=(CCACHE_DIR=/ccache)
fi

failed=()
for command in "$@"; do
  echo "== $suite: $command"
  started=$SECONDS
  chroot "$root" env -i "${variables[@]}" sh -c "cd $checkout && $command" || failed+=("$command")
  echo "== $suite: $command took $((SECONDS - started)) s"
done
[ ${#failed[@]} -eq 0 ] || fail "on $suite these failed: ${failed[*]}"
echo "== $suite: done"

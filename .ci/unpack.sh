#!/usr/bin/env bash
# Fetches packages of Debian, with all they depend on, and unpacks them into a folder; nothing is installed. Does nothing
# where the folder has them already.
#
#   .ci/unpack.sh ARCHITECTURE FOLDER PACKAGE...
set -euo pipefail
architecture=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
[ "$(cat "$folder/.packages" 2>/dev/null)" != "$architecture $*" ] || exit 0
rm -rf "${folder:?}"/* "$folder/.packages"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial}
touch "$work/status"  # an empty machine: apt takes every dependency along
apt() {
  apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
    -o Dir::State::status="$work/status" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work" \
    -o Dir::Cache::archives="$work/archives" -o Acquire::Languages=none -o Debug::NoLocking=1 "$@"
}
apt update
apt install -y --no-install-recommends --download-only "$@"
mkdir -p "$folder/usr/lib"
ln -s usr/lib "$folder/lib"  # as on a machine: some packages name /lib, some /usr/lib
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" --keep-directory-symlink --no-same-owner
done
# Links that name a path of the machine shall name the folder's.
find "$folder" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
  ln -sfn "$folder$(readlink "$link")" "$link"
done
echo "$architecture $*" >"$folder/.packages"

#!/usr/bin/env bash
# One version everywhere: the program and CITATION.cff say what the file VERSION says, and so does a release's heading in
# CHANGELOG.md where that version is released.
#
#   tests/version.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/.."
version=$(cat VERSION)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "VERSION: \"$version\" is not three numbers"; exit 1; }
said=$("$program" --version)
cited=$(sed -n 's/^version: *//p' CITATION.cff)
status=0
[ "$said" = "srengine $version" ] || { echo "VERSION has $version, $program says \"$said\""; status=1; }
[ "$cited" = "$version" ] || { echo "VERSION has $version, CITATION.cff has \"$cited\""; status=1; }
newest=$(sed -n 's/^## \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md | head -n 1)
[ -z "$newest" ] || [ "$newest" = "$version" ] || { echo "VERSION has $version, CHANGELOG.md's newest is $newest"; status=1; }
exit $status

#!/usr/bin/env bash
# clang-tidy (.clang-tidy) on the C++ files that a change touches: those that differ from main or, on main, from the commit
# before. A header is read through the .cpp file of its name. Three minutes at most: what is left over then is named.
#
#   .ci/tidy.sh [FILE.cpp...]    these files, without a limit
set -euo pipefail
cd "$(dirname "$0")/.."
limit=180
.ci/install.sh clang-tidy-19
.ci/clang_configure.sh
if [ $# -gt 0 ]; then
  limit=100000
  files=("$@")
else
  base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null || true)
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then base=$(git rev-parse -q --verify HEAD^ || true); fi
  if [ -z "$base" ]; then
    echo "tidy.sh: no commit to compare with (a shallow clone?), engine/base and engine/networks stand for all" >&2
    mapfile -t changed < <(git ls-files engine/base engine/networks)
  else
    mapfile -t changed < <(git diff --name-only --diff-filter=d "$base")
  fi
  mapfile -t files < <(printf '%s\n' "${changed[@]}" | sed -n 's/\.h$/.cpp/; /\.cpp$/p' | sort -u)
fi
# Only what is compiled here; kernels per instruction set are many times one file.
todo=()
for file in "${files[@]}"; do
  if grep -q "\"file\": \"$PWD/$file\"" build/clang/compile_commands.json; then todo+=("$file"); fi
done
echo "tidy.sh: ${#todo[@]} files"
[ ${#todo[@]} -gt 0 ] || exit 0
start=$(date +%s)
printf '%s\0' "${todo[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c '
  if [ $(($(date +%s) - '"$start"')) -ge '"$limit"' ]; then echo "tidy.sh: no time for $1"; exit 0; fi
  clang-tidy-19 -p build/clang --quiet "$1" 2> >(grep -v "warnings\? generated\|^Suppressed\|^Use -header" >&2) ||
    { echo "tidy.sh: $1 has faults" >&2; exit 1; }' _

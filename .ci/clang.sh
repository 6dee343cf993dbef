#!/usr/bin/env bash
# Compiles everything with clang 19, with warnings as errors. Code is generated for the CPU kernels alone, where Highway's
# instruction sets meet the compiler's; of the rest clang reads every file (-fsyntax-only), which is what fits into CI:
# the objects that run come from gcc.
#
#   .ci/clang.sh [--full]        --full builds all of it
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/clang_configure.sh
if [ "${1:-}" = --full ]; then exec cmake --build --preset clang; fi
cmake --build --preset clang --target sr_kernels
# The commands of the C++ files, but for what they would write. Each is told of by name if it fails; the others go on.
sed -n 's/^ *"command": "\(.*\)",$/\1/p' build/clang/compile_commands.json | sed 's/\\\(["\\]\)/\1/g' |
  sed 's/ -o [^ ]*\.o -c / -fsyntax-only /' >build/clang/commands
echo "clang.sh: reading $(wc -l <build/clang/commands) files"
tr '\n' '\0' <build/clang/commands | (cd build/clang && xargs -0 -n 1 -P "$(nproc)" bash -c '
  eval "$1" || { echo "clang.sh: ${1##* } does not compile" >&2; exit 1; }' _)
echo "clang.sh: all of it compiles without a warning"

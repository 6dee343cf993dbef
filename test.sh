#!/usr/bin/env bash
# Installs, builds and runs the tests, with CI=1 the slow ones as well (tests/CMakeLists.txt labels them).
#
#   ./test.sh [preset, default cpu; CI takes ci] [arguments of ctest]
set -euo pipefail
cd "$(dirname "$0")"

preset=${1:-cpu}
shift || true
./setup.sh
# The CUDA plugin as well where there is nvcc, for an old and a new architecture only: each takes a minute.
options=()
if [[ $preset = cpu || $preset = ci ]] && { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null; then
  options=(-DSRENGINE_CUDA=ON "-DSRENGINE_CUDA_ARCHITECTURES=75-real;90-real")
fi
cmake --preset "$preset" "${options[@]}" >/dev/null
cmake --build --preset "$preset"
[ -n "${CI:-}" ] || set -- --label-exclude slow "$@"
ctest --preset "$preset" "$@"

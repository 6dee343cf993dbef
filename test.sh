#!/usr/bin/env bash
# Installs, builds and runs all tests.   ./test.sh [preset, default cpu] [arguments of ctest]
set -euo pipefail
cd "$(dirname "$0")"

preset=${1:-cpu}
shift || true
./setup.sh
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" "$@"

#!/usr/bin/env bash
# Compiles the CPU kernels and their tests for 64-bit ARM and runs them under qemu: NEON, on machines that have none.
# On Debian; the libraries for ARM are unpacked into build/aarch64-sysroot, of the machine only compiler and qemu are
# installed.
#
#   .ci/aarch64.sh [TEST...]     executables of tests/CMakeLists.txt; by default those of the kernels
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- test_cpu_target test_pointwise test_conv3d test_conv3d_backward test_fma_peak

.ci/install.sh g++-aarch64-linux-gnu qemu-user-static
.ci/unpack.sh arm64 build/aarch64-sysroot libc6-dev "libstdc++-$(aarch64-linux-gnu-g++ -dumpversion | cut -d. -f1)-dev" \
  libnifti2-dev libniftiio-dev libznz-dev zlib1g-dev libssl-dev libzip-dev nlohmann-json3-dev libhwy-dev libkissfft-dev \
  libpng-dev libcli11-dev libfmt-dev catch2
cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64 --target "$@"

# CTest puts qemu before the executables. test_cpu_target says which instruction sets there are, and fails without NEON.
ctest --test-dir build/aarch64 --verbose --no-tests=error -R "^($(IFS='|'; echo "$*"))\$"

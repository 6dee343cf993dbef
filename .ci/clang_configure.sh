#!/usr/bin/env bash
# Configures build/clang, for .ci/clang.sh and .ci/tidy.sh. LLVM's OpenMP comes into build/clang-openmp where clang 19 has
# none: as a package it would displace another version's.
set -euo pipefail
cd "$(dirname "$0")/.."
.ci/install.sh clang-19
options=()
if ! echo '#include <omp.h>' | clang++-19 -fopenmp -fsyntax-only -x c++ - 2>/dev/null; then
  .ci/unpack.sh "$(dpkg --print-architecture)" build/clang-openmp libomp-19-dev
  llvm=$PWD/build/clang-openmp/usr/lib/llvm-19
  options=("-DOpenMP_CXX_FLAGS=-fopenmp -isystem $llvm/lib/clang/19/include" -DOpenMP_CXX_LIB_NAMES=omp
    "-DOpenMP_omp_LIBRARY=$llvm/lib/libomp.so")
fi
cmake --preset clang "${options[@]}" >/dev/null

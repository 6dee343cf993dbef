#!/usr/bin/env bash
# Pascal (sm_61: GTX 1080 Ti and its like) is compiled by CUDA 12 and older only. Where the toolkit is newer, clang still
# makes device code for it out of the same sources, which keeps them honest: every kernel becomes PTX of sm_61. Left out
# are the kernels for tensor cores, which Pascal has none of, and the files that are host code alone.
# Exit code 77 (skipped) where there is no clang 19 or no CUDA Toolkit.
set -euo pipefail
cd "$(dirname "$0")/.."
clang=$(command -v clang++-19 || true)
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ -z "$clang" ] || [ -z "$nvcc" ]; then
  echo "skipped: sm_61 device code needs clang++-19 and the headers of the CUDA Toolkit"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# clang includes this header, which CUDA 12 dropped; nothing of it is used.
: >"$folder/texture_fetch_functions.h"
compile() {
  local out=$folder/$(basename "$1" .cu).ptx
  "$clang" -x cuda --cuda-device-only --cuda-gpu-arch=sm_61 --cuda-path="$(dirname "$(dirname "$nvcc")")" -std=c++20 -O2 \
    -Wno-unknown-cuda-version -Wno-pass-failed -Werror -I. -I"$folder" -S -o "$out" "$1"
  local n
  n=$(grep -c '\.entry ' "$out" || true)
  printf '%-40s %3d kernels\n' "$1" "$n"
  [ "$n" -gt 0 ] || { echo "$1 became no kernel" >&2; return 1; }
}
export -f compile
export clang nvcc folder
printf '%s\n' kernels/cuda/*.cu | grep -Ev '(_tensor|_library|/api|/conv3d|/fft|/nccl)\.cu$' | xargs -P 2 -I{} bash -c 'compile {}'

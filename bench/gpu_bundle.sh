#!/usr/bin/env bash
# Builds the program, the CUDA plugin and the GPU tests for one architecture and collects the libraries that they need,
# for a machine that has a GPU but neither packages nor network: build/gpu, ready for bench/gpu_check.sh there.
#
#   bench/gpu_bundle.sh 90          (compute capability without the dot: 86, 90, ...)
set -euo pipefail
cd "$(dirname "$0")/.."
architecture=${1:?usage: bench/gpu_bundle.sh ARCHITECTURE, such as 90}
cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DSRENGINE_CUDA=ON \
  -DSRENGINE_CUDA_ARCHITECTURES="$architecture-real" >/dev/null
tests=(test_conv3d_cuda test_network_cuda test_conv3d_backward_cuda test_train_engine_cuda
  test_critic_cuda test_critic_engine_cuda)
targets=(srengine_program srtrain_program srengine_cuda "${tests[@]}")
# Where CMake found cuDNN.
known=$(cmake --build build/gpu --target help)
[[ $known == *$'\n'cudnn_convs:* ]] && targets+=(cudnn_convs)
cmake --build build/gpu --target "${targets[@]}"
mkdir -p build/gpu/lib
unset LD_LIBRARY_PATH  # or what was collected before would be found again
# All but what belongs to the system itself: the loader and the C library have to be that machine's.
# cuDNN is large, and whoever has PyTorch has it.
for file in build/gpu/srengine build/gpu/srtrain build/gpu/bench/cudnn_convs "${tests[@]/#/build/gpu/tests/}"; do
  [ -e "$file" ] || continue
  ldd "$file" | awk '$3 ~ /^\// {print $3}'
done | sort -u | grep -Ev '/(libc|libm|libdl|libpthread|librt|libcudnn[^/]*|ld-linux[^/]*)\.so' | xargs -I{} cp -Lu {} build/gpu/lib/
du -sh build/gpu/lib build/gpu/srengine build/gpu/libsrengine_cuda.so

#!/usr/bin/env bash
# The CUDA kernels under emulation with AddressSanitizer and UndefinedBehaviorSanitizer, then with ThreadSanitizer, which
# sees a missing barrier as the race that it is. Builds what that takes, no more.
#
#   tests/sanitize_kernels.sh [asan] [tsan]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- asan tsan
for preset in "$@"; do
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" --target test_emulation test_conv3d_cuda test_conv3d_backward_cuda test_critic_cuda
  build/"$preset"/tests/test_emulation
  # Every kernel in three orders of its blocks and threads; with two threads of the machine, blocks race as well.
  SR_EMULATION_THREADS=2 build/"$preset"/tests/test_conv3d_cuda "results on the device*"
  SR_EMULATION_THREADS=2 build/"$preset"/tests/test_conv3d_backward_cuda "gradients on the device do not*"
  SR_EMULATION_THREADS=2 build/"$preset"/tests/test_critic_cuda "*do not depend*,*does not depend*,*penalty*"
done
# Odd sizes find what runs over an edge.
case " $* " in *" asan "*)
  build/asan/tests/test_conv3d_cuda "convolutions on the device*"
  build/asan/tests/test_conv3d_backward_cuda "gradients on the device equal*"
  build/asan/tests/test_critic_cuda "*to rounding*" ;;
esac

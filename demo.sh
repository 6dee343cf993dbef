#!/usr/bin/env bash
# Installs, builds, and shows the main job: a digital head is degraded as a 4x faster scan would be (k-space cut
# 2x2x1), interpolated, and restored. Prints how close each comes to the truth and draws them side by side.
# SRENGINE=path/to/srengine ./demo.sh shows it with a program that is there: nothing is installed or built.
set -euo pipefail
cd "$(dirname "$0")"

srengine=${SRENGINE:-}
if [ -z "$srengine" ]; then
  ./setup.sh
  cmake --preset release >/dev/null
  cmake --build --preset release --target srengine_program
  srengine=build/release/srengine
elif [ ! -x "$srengine" ]; then
  echo "demo.sh: SRENGINE=$srengine is no program" >&2
  exit 1
fi

out=demo-output
mkdir -p "$out"
echo "== A digital head, 182 x 218 x 182 voxels, and the same head scanned 4 times faster"
"$srengine" phantom --size 182x218x182 --output $out/truth.nii.gz
"$srengine" degrade $out/truth.nii.gz --output $out/low.nii.gz --factor 2x2x1 --grid native

echo "== Back to the full grid: by linear interpolation, by sinc interpolation, by srengine"
"$srengine" upsample $out/low.nii.gz --like $out/truth.nii.gz --method linear --output $out/linear.nii.gz
"$srengine" upsample $out/low.nii.gz --like $out/truth.nii.gz --method sinc --output $out/sinc.nii.gz
"$srengine" run --weights weights/b4u4.bin --upsample 2x2x1 $out/low.nii.gz --output $out/srengine.nii.gz

echo "== How close each comes to the truth"
"$srengine" evaluate --reference $out/truth.nii.gz $out/linear.nii.gz $out/sinc.nii.gz $out/srengine.nii.gz \
  --png $out/comparison.png
echo "== Picture: $out/comparison.png    Volumes: $out/*.nii.gz"

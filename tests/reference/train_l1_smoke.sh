#!/usr/bin/env bash
# Two steps of train_l1.py on a small digital head; what comes out must be a checkpoint that import and run take.
# train_l1_smoke.sh SRENGINE. Exit code 77 (CTest: skipped) where python3 cannot train.
set -euo pipefail
srengine=$1
trainer=$(cd "$(dirname "$0")" && pwd)/train_l1.py

if ! python3 -c 'import torch, nibabel, numpy' 2>/dev/null; then
  echo "skipped: python3 has not all of torch, nibabel and numpy"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir scans
"$srengine" phantom --output scans/head.nii.gz --size 24x26x20 --voxel 8x8x8
python3 "$trainer" --data scans --out trained --steps 2 --batch 1 --patch 8 --blocks 1 \
  --growth 2 --average 0.9 --threads 1
grep -q '"step": 2' trained/log.jsonl
"$srengine" import trained/model.pt --output trained.bin --residual --normalization foreground --input sinc
"$srengine" run --weights trained.bin --patch 24 scans/head.nii.gz --output restored.nii.gz

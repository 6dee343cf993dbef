#!/usr/bin/env bash
# The trainer as its user has it: a head is made, a small network trained on it, stopped and resumed to the same bits,
# and run.
#
#   srtrain_end_to_end.sh SRENGINE SRTRAIN EMULATED_PLUGIN
set -euo pipefail
srengine=$1 srtrain=$2 emulated=$3
. "$(dirname "$0")/train_end_to_end.sh"
heads 40x44x40
echo "no scan" >"$work/data/broken.nii"

train() {  # steps, folder, further options
  "$srtrain" --data "$work/data" --model b1u2,k=4,residual --val 0.5 --batch 4 --patch 16 --lr 3e-3 --flips --noise 0.1 \
    --blur 0.9 --axes --average 0.9 --quiet --steps "$1" --out "$work/$2" "${@:3}"
}
best=$(train 60 whole)
[ "$best" = "$work/whole/best.bin" ]
train 25 stopped >/dev/null
train 60 stopped --resume --threads 1 --loading-threads 3 >/dev/null
for file in last.bin state.bin; do cmp "$work/whole/$file" "$work/stopped/$file"; done
# It has learnt something: the network is better than its input on the last steps.
gain=$(tail -n 1 "$work/whole/csv/gain.csv" | cut -d, -f3)
awk -v gain="$gain" 'BEGIN { if (!(gain > 0)) { print "gain " gain; exit 1 } }'
grep -q broken.nii "$work/whole/log.jsonl"

"$srengine" run --weights "$best" --quiet "$work/data/head1.nii.gz" --output "$work/restored.nii.gz"
"$srengine" info "$work/restored.nii.gz" | grep "40 x 44 x 40" >/dev/null
# A table of methods can say how long it was trained.
"$srengine" table --weights "$work/whole/last.bin" --shape 16x16x16 --patch 16 --patches 1 | grep " 60 x 4 x 16^3" >/dev/null

# On a GPU, an emulated one: the steps of the CPU but for rounding, and the same bits after a stop.
on_gpu() {  # steps, folder, further options
  SRENGINE_CUDA_PLUGIN=$emulated "$srtrain" --data "$work/data" --model b1u1,k=4,residual --val 0.5 --batch 2 --patch 12 \
    --lr 3e-3 --log-every 1 --quiet --steps "$1" --out "$work/$2" "${@:3}"
}
on_gpu 4 gpu_whole --device cuda >/dev/null
on_gpu 2 gpu_stopped --device auto >/dev/null
on_gpu 4 gpu_stopped --resume --device cuda:0 >/dev/null
for file in last.bin state.bin; do cmp "$work/gpu_whole/$file" "$work/gpu_stopped/$file"; done
grep -q '"device":"GPU 0' "$work/gpu_whole/log.jsonl"
on_gpu 4 cpu --device cpu >/dev/null
paste -d, <(tail -n 4 "$work/cpu/csv/loss.csv") <(tail -n 4 "$work/gpu_whole/csv/loss.csv") |
  awk -F, '{ d = $3 - $6; if (d < 0) d = -d; if (!(d < 1e-5 * $3)) { print "loss " $3 " and " $6; exit 1 } }'

# Bad input: the exit code, and nothing left behind.
expect 2 "resume" train 60 whole
expect 2 "patch" train 60 whole --resume --patch 12
expect 3 "no such folder" "$srtrain" --data "$work/none" --out "$work/x" --steps 1
expect 3 "none of its 3 scans" "$srtrain" --data "$work/data" --patch 64 --out "$work/x" --steps 1
expect 4 "b1u2" "$srtrain" --data "$work/data" --init "$work/whole/last.bin" --model b4u4 --steps 1 --out "$work/other"
SRENGINE_CUDA_PLUGIN=none expect 6 "no training on a GPU.*--device cpu" train 1 no_gpu --device cuda
expect 6 "GPU 7" on_gpu 1 no_gpu --device cuda:7
expect 2 "head3: is none of the scans" train 1 favour --favour head3=2
printf '%s\t%s\n' "$work/data/head1.nii.gz" "$work/data/head2.nii.gz" >"$work/pairs.txt"
expect 2 "low-resolution scan of its own" "$srtrain" --data "$work/pairs.txt" --axes --val 0 --patch 16 --steps 1 --out "$work/pairs"
[ -z "$(ls -A "$work/x" 2>/dev/null)" ]

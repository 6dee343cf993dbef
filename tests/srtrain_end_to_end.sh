#!/usr/bin/env bash
# The trainer as its user has it: a head is made, a small network trained on it, stopped and resumed to the same bits,
# and run.
#
#   srtrain_end_to_end.sh SRENGINE SRTRAIN
set -euo pipefail
srengine=$1 srtrain=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/data"
for seed in 1 2; do
  "$srengine" phantom --size 40x44x40 --seed $seed --output "$work/data/head$seed.nii.gz" >/dev/null
done
echo "no scan" >"$work/data/broken.nii"

train() {  # steps, folder, further options
  "$srtrain" --data "$work/data" --model b1u2,k=4,residual --val 0.5 --batch 4 --patch 16 --lr 3e-3 --flips --noise 0.1 \
    --blur 0.9 --average 0.9 --quiet --steps "$1" --out "$work/$2" "${@:3}"
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

# Bad input: the exit code, and nothing left behind.
expect() {  # exit code, sentence, command...
  local code=0
  "${@:3}" 2>"$work/said" >/dev/null || code=$?
  [ $code = "$1" ] && grep -q "$2" "$work/said" || { echo "wanted $1 and '$2', got $code:"; cat "$work/said"; exit 1; }
}
expect 2 "resume" train 60 whole
expect 2 "patch" train 60 whole --resume --patch 12
expect 3 "no such folder" "$srtrain" --data "$work/none" --out "$work/x" --steps 1
expect 3 "none of its 3 scans" "$srtrain" --data "$work/data" --patch 64 --out "$work/x" --steps 1
expect 4 "b1u2" "$srtrain" --data "$work/data" --init "$work/whole/last.bin" --model b4u4 --steps 1 --out "$work/other"
expect 6 "GPU" train 1 gpu --device cuda
[ -z "$(ls -A "$work/x" 2>/dev/null)" ]

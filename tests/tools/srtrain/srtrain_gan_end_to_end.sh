#!/usr/bin/env bash
# Training against a critic as its user has it: a head is made, a small network trained on it, then on against a small
# critic, stopped and resumed to the same bits, and run.
#
#   srtrain_gan_end_to_end.sh SRENGINE SRTRAIN EMULATED_PLUGIN
set -euo pipefail
srengine=$1 srtrain=$2 emulated=$3
. "$(dirname "$0")/train_end_to_end.sh"
heads 24x28x24
"$srtrain" --data "$work/data" --model b1u1,k=4,residual --val 0.5 --batch 2 --patch 16 --lr 3e-3 --steps 10 \
  --threads 1 --quiet --out "$work/l1" >/dev/null

options=(--generator "$work/l1/last.bin" --data "$work/data" --val 0.5 --batch 2 --patch 16 --lr 1e-3 --critic-lr 1e-3
  --critic-width 2 --critic-hidden 4 --critic-first 4 --critic-steps 2 --extra-every 2 --extra-steps 3
  --validate-every 3 --save-every 5 --log-every 1 --noise 0.1 --average 0.9 --device cpu --quiet)
train() {  # generator steps, folder, further options
  "$srtrain" gan "${options[@]}" --threads "${threads:-1}" --steps "$1" --out "$work/$2" "${@:3}"
}
best=$(train 6 whole)
[ "$best" = "$work/whole/best.bin" ]

# Stopped by a signal, in the middle where this machine is quick enough.
"$srtrain" gan "${options[@]}" --threads 1 --steps 6 --out "$work/stopped" >/dev/null &
pid=$!
while kill -0 $pid 2>/dev/null && ! grep -q '"kind":"critic".*"critic_steps":7' "$work/stopped/log.jsonl" 2>/dev/null; do
  sleep 0.01
done
kill -TERM $pid 2>/dev/null || true
code=0
wait $pid 2>/dev/null || code=$?
[ $code = 130 ] || [ $code = 0 ] || { echo "a signal: exit code $code"; exit 1; }
threads=2 train 6 stopped --resume --loading-threads 2 >/dev/null
# And at a validation that the whole run has as well.
train 3 shorter >/dev/null
train 6 shorter --resume >/dev/null
for run in stopped shorter; do
  for file in last.bin best.bin state.bin; do cmp "$work/whole/$file" "$work/$run/$file"; done
  for kind in critic generator validation; do
    [ "$(grep -c "\"kind\":\"$kind\"" "$work/whole/log.jsonl")" = "$(grep -c "\"kind\":\"$kind\"" "$work/$run/log.jsonl")" ]
  done
done
cmp -s "$work/l1/last.bin" "$work/whole/last.bin" && { echo "nothing was trained"; exit 1; }
grep -q '"gan":{"critic_steps":22,"generator_steps":6}' <(head -c 4000 "$work/whole/last.bin" | tr -d '\\')
"$srengine" run --weights "$best" --quiet "$work/data/head1.nii.gz" --output "$work/restored.nii.gz" >/dev/null

# On a GPU, an emulated one: the steps of the CPU but for rounding, and the same bits after a stop.
on_gpu() {  # steps, folder, further options
  SRENGINE_CUDA_PLUGIN=$emulated "$srtrain" gan --generator "$work/l1/last.bin" --data "$work/data" --val 0 --batch 1 \
    --patch 16 --lr 1e-3 --critic-lr 1e-3 --critic-width 2 --critic-hidden 4 --critic-first 1 --critic-steps 1 \
    --extra-every 0 --validate-every 1 --log-every 1 --quiet --steps "$1" --out "$work/$2" "${@:3}" >/dev/null
}
on_gpu 2 gpu_whole --device cuda
on_gpu 1 gpu_stopped --device auto
on_gpu 2 gpu_stopped --resume --device cuda:0
for file in last.bin state.bin; do cmp "$work/gpu_whole/$file" "$work/gpu_stopped/$file"; done
grep -q '"device":"GPU 0' "$work/gpu_whole/log.jsonl"
on_gpu 2 host --device cpu
for figure in critic_wasserstein critic_penalty generator_loss generator_score; do
  paste -d, <(tail -n +2 "$work/host/csv/$figure.csv") <(tail -n +2 "$work/gpu_whole/csv/$figure.csv") |
    awk -F, -v f=$figure '{ d = $3 - $6; if (d < 0) d = -d; n++; if (!(d < 1e-3 * (1 + ($3 < 0 ? -$3 : $3)))) { print f " " $3 " and " $6; exit 1 } }
      END { if (!n) exit 1 }'
done

before=$(sha256sum "$work/whole/state.bin")
expect 1 "--guard-gradient 1e-06.*checkpoint of critic step 0" train 6 diverged --guard-gradient 1e-6
expect 1 "more than --guard-l1 0.01" train 8 whole --resume --guard-l1 0.01
[ "$before" = "$(sha256sum "$work/whole/state.bin")" ]
expect 2 "--penalty 10.0 there, 9.0 here.*--generator" train 6 whole --resume --penalty 9
expect 2 "holds a run of srtrain gan" "$srtrain" --data "$work/data" --out "$work/whole" --resume
expect 2 "holds a run of plain srtrain" train 6 l1 --resume

# Several processes without MPI are refused; with it, srtrain_ranks.sh.
expect 2 "WORLD_SIZE=2.*mpirun -n 2 srtrain" env RANK=0 WORLD_SIZE=2 "$srtrain" gan "${options[@]}" --out "$work/ranks"
[ ! -e "$work/ranks" ]

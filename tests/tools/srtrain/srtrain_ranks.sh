#!/usr/bin/env bash
# Several processes train one network, as their user starts them: the same network as one process trains, stopped by a
# signal to one of them, ended by the failure or the death of one.
#
#   srtrain_ranks.sh SRENGINE SRTRAIN COMPARE_WEIGHTS
set -euo pipefail
srengine=$1 srtrain=$2 compare=$3
command -v mpirun >/dev/null || { echo "skipped: there is no mpirun here (openmpi-bin)"; exit 77; }
[ -e "$(dirname "$srtrain")/libsrtrain_mpi.so" ] || { echo "skipped: built without MPI (libopenmpi-dev)"; exit 77; }
unset RANK WORLD_SIZE LOCAL_RANK
. "$(dirname "$0")/train_end_to_end.sh"
launcher=
clean_up() {
  [ -z "$launcher" ] || kill -KILL "$launcher" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
heads 40x44x40
mkdir "$work/others"
cp "$work/data/head1.nii.gz" "$work/others"
fail() { echo "$*"; cat "$work/said"; exit 1; }

options=(--model b1u2,k=4,residual --patch 16 --lr 3e-3 --noise 0.1 --average 0.9 --quiet)
usual="--data $work/data --val 0.5 --batch 4"
# shellcheck disable=SC2086
one() { "$srtrain" $usual "${options[@]}" --steps "$1" --out "$work/$2" "${@:3}"; }

# launch COMMAND...: under mpirun; fills pids, by rank, and launcher.
launch() {
  mpirun --allow-run-as-root --oversubscribe "$@" >"$work/out" 2>"$work/said" &
  launcher=$!
  # The two are there when mpirun, any thread of it, has two children.
  until pids=($(cat "/proc/$launcher/task/"*/children 2>/dev/null || true)); [ ${#pids[@]} -ge 2 ]; do
    kill -0 $launcher 2>/dev/null || return 0
    sleep 0.02
  done
}
# start STEPS FOLDER [OPTIONS OF RANK 0] [OPTIONS OF RANK 1], those in place of the usual ones.
start() {
  # One command, which takes its rank's options: mpirun of Debian 13 (Open MPI 5.0.7) crashes where there are two, with a
  # colon between them (open-mpi/ompi issue 13303).
  local all="${options[*]} --steps $1 --out $work/$2"
  # shellcheck disable=SC2016
  launch -n 2 bash -c 'exec "$0" ${@:OMPI_COMM_WORLD_RANK + 1:1}' "$srtrain" "$all ${3:-$usual}" "$all ${4:-$usual}"
}
# ends [CODE]: within 20 s, with one line of srtrain's own at most. Without a code mpirun's is that of either rank.
ends() {
  local waited=0 code=0
  while kill -0 "$launcher" 2>/dev/null; do
    [ $((waited += 1)) -lt 400 ] || fail "mpirun still runs"
    sleep 0.05
  done
  wait "$launcher" || code=$?
  [ $code = "${1:-$code}" ] || fail "wanted $1, got $code"
  [ "$(grep -c '^srtrain: ' "$work/said" || true)" -le 1 ] || fail "more than one sentence"
}
says() { grep -q "$1" "$work/said" || fail "wanted '$1'"; }
# Its sentences are broken into lines, elsewhere with every machine's name.
mpirun_says() { tr '\n' ' ' <"$work/said" | grep -q "$1" || fail "wanted '$1' of mpirun"; }
until_it_trains() {
  for _ in $(seq 600); do
    [ -s "$work/$1/csv/loss.csv" ] && return
    sleep 0.02
  done
  fail "no step was taken in $1"
}

# 20 steps. Sums of statistics are in double; what differs is half a unit in the last place of float32 (6e-8), of each
# rank's gradient and of each new weight, 2.4e-6 if all 20 steps erred in one direction.
tolerance=2.4e-6
one 20 one >/dev/null
start 20 two
ends 0
[ "$(cat "$work/out")" = "$work/two/best.bin" ] || fail "the result is not told once"
"$compare" "$work/one/last.bin" "$work/two/last.bin" $tolerance
# Twice to the same bits; stopped and resumed by another number of processes.
start 20 again
ends 0
for file in last.bin state.bin; do cmp "$work/two/$file" "$work/again/$file"; done
start 10 mixed
ends 0
one 20 mixed --resume >/dev/null
start 10 mixed2
ends 0
start 20 mixed2 "$usual --resume" "$usual --resume"
ends 0
cmp "$work/two/last.bin" "$work/mixed2/last.bin"
"$compare" "$work/one/last.bin" "$work/mixed/last.bin" $tolerance

# A signal to either rank stops both after the same step, saved.
for rank in 0 1; do
  start 100000 "stopped$rank"
  until_it_trains "stopped$rank"
  kill -TERM "${pids[$rank]}"
  ends 130
  says "^srtrain: interrupted after step"  # rank 0 by itself, not because another has left
  step=$(sed -n 's/.*interrupted after step \([0-9]*\).*/\1/p' "$work/said")
  one $((step + 2)) "stopped$rank" --resume >/dev/null
done

# Either rank killed: mpirun ends the other.
for rank in 0 1; do
  start 100000 "killed$rank"
  until_it_trains "killed$rank"
  kill -KILL "${pids[$rank]}"
  ends
  mpirun_says "exited on signal 9"
done

# A rank that fails: in the middle of a run, and before it.
start 100000 gone "$usual --save-every 20" "$usual --save-every 20"
until_it_trains gone
rm -rf "$work/gone"
ends 5
says "^srtrain: .*gone"
start 20 x "" "--data $work/data --val 0.5 --batch 2"
ends 2
says "^srtrain: rank 1: started with other options, against rank 0: --batch 4 there, 2 here"
start 20 x "--data $work/data --val 0 --batch 4" "--data $work/others --val 0 --batch 4"
ends 3
says "^srtrain: rank 1: --data .*others: holds other scans than there"
rm -rf "$work/x"
start 20 x "" "$usual --init $work/none.bin"
ends 4
says "^srtrain: rank 1: .*none.bin"
# What all ranks find wrong is told of once.
start 20 x "--data $work/data --batch 3" "--data $work/data --batch 3"
ends 2
says "3: 2 processes cannot share it evenly"
start 20 one
ends 2
says "another folder starts a new one"

# Against a critic one process trains.
launch -n 2 "$srtrain" gan --generator "$work/one/last.bin" --data "$work/data" --quiet --out "$work/gan"
ends 2
says "^srtrain: .*one process, and 2 were started"
[ ! -e "$work/gan" ] || fail "it has begun"

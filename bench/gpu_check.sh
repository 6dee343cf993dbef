#!/usr/bin/env bash
# Everything that needs a GPU, in one call of ten minutes at most: builds for the card, runs the GPU tests, looks for bad
# memory accesses and races on a small case, times b4u4, b6u4 and b8u4 in every precision, and PyTorch beside them.
#
#   bench/gpu_check.sh [--out FOLDER] [--device N] [--quick] [SECTION...]
#
# Sections: build tests sanitizer bench peers (default: all of them). FOLDER (default build/gpu/check) gets the logs and
# the figures as JSON; the table comes last. A machine without the packages of setup.sh brings build/gpu along
# (bench/gpu_bundle.sh makes it) and leaves `build` out. --quick: one network, one precision, few repeats.
set -uo pipefail
cd "$(dirname "$0")/.."

out=build/gpu/check device=0 quick=
sections=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --device) device=$2; shift ;;
    --quick) quick=yes ;;
    build | tests | sanitizer | bench | peers) sections+=("$1") ;;
    *) echo "gpu_check.sh: $1 is no option and no section (build tests sanitizer bench peers)" >&2; exit 2 ;;
  esac
  shift
done
[ ${#sections[@]} -gt 0 ] || sections=(build tests sanitizer bench peers)
mkdir -p "$out"
[ -d build/gpu/lib ] && export LD_LIBRARY_PATH="$PWD/build/gpu/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
program=build/gpu/srengine
summary=$out/summary.txt
: >"$summary"
failed=0

wanted() { [[ " ${sections[*]} " == *" $1 "* ]]; }
# report NAME STATUS TEXT
report() {
  printf '%-10s %-7s %s\n' "$1" "$2" "$3" >>"$summary"
  [ "$2" = FAILED ] && failed=1
  return 0
}
# step NAME LOG COMMAND...: runs it, keeps its output, says how long it took.
step() {
  local name=$1 log=$out/$2 start=$SECONDS
  shift 2
  if "$@" >"$log" 2>&1; then report "$name" ok "$((SECONDS - start)) s, $log"; return 0; fi
  report "$name" FAILED "$((SECONDS - start)) s: $(tail -n 1 "$log" | cut -c1-120)"
  return 1
}

if wanted build; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i "$device" 2>/dev/null | tr -d '. ')
  if [ -z "$capability" ]; then
    report build FAILED "nvidia-smi names no GPU"
  else
    step build build.log bench/gpu_bundle.sh "$capability"
  fi
fi
if [ ! -x $program ]; then
  echo "gpu_check.sh: $program is not there; run the section build, or bench/gpu_bundle.sh on a machine with the packages" >&2
  exit 2
fi
$program backends | tee "$out/backends.txt" >&2

if wanted tests; then
  step tests conv3d.log env SRENGINE_TEST_GPU=1 build/gpu/tests/test_conv3d_cuda
  step tests network.log env SRENGINE_TEST_GPU=1 build/gpu/tests/test_network_cuda
fi

if wanted sanitizer; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      step sanitizer $tool.log compute-sanitizer --tool $tool --error-exitcode 1 \
        $program bench --model b1u2 --patch 20 --device cuda:"$device" --batch 2 --patches 1
    done
  else
    report sanitizer skipped "compute-sanitizer is not on PATH"
  fi
fi

if wanted bench; then
  models=(b4u4 b6u4 b8u4) precisions=(fp32 tf32 f16 bf16) repeats=15
  [ -n "$quick" ] && models=(b4u4) precisions=(fp32) repeats=3
  for model in "${models[@]}"; do
    for precision in "${precisions[@]}"; do
      for shape in 320x320x256 181x217x181; do
        step "bench" "$model-$precision-$shape.log" $program bench --model "$model" --precision "$precision" \
          --device cuda:"$device" --patches $repeats --shape $shape --json "$out/$model-$precision-$shape.json"
      done
    done
  done
fi

if wanted peers; then
  step peers peers.log python3 bench/peers/mdcsrn_gpu_peers.py --model b8u4 --device "$device" --json "$out/peers.json" \
    ${quick:+--quick}
fi

{
  cat "$summary"
  python3 - "$out" <<'PY' || true
import json, pathlib, sys
rows = []
for path in sorted(pathlib.Path(sys.argv[1]).glob("b*u4-*.json")):
    f = json.loads(path.read_text())
    rows.append((f["model"], path.stem.split("-")[-2], "x".join(map(str, f["shape"])), f["ms_per_volume"],
                 f["ms_per_patch"]["median"], f["gflops"] / f["peak_gflops"]))
peers = pathlib.Path(sys.argv[1]) / "peers.json"
best = {}
if peers.exists():
    best = {r["precision"]: r["ms_per_patch"] for r in json.loads(peers.read_text())["best"]}
print(f"{'model':6} {'prec.':5} {'volume':12} {'ms/volume':>10} {'ms/patch':>9} {'x fp32 peak':>11} {'x PyTorch':>9}")
for model, precision, shape, volume, patch, share in rows:
    peer = best.get(precision) if model == "b8u4" else None
    print(f"{model:6} {precision:5} {shape:12} {volume:10.1f} {patch:9.3f} {share:11.2f} {peer / patch if peer else float('nan'):9.1f}")
PY
} | tee "$out/table.txt"
exit $failed

#!/usr/bin/env bash
# Everything that needs a GPU, in one call of ten minutes at most: builds for the card, runs the GPU tests, looks for bad
# memory accesses and races on a small case, times b4u4, b6u4 and b8u4 in every precision, PyTorch and
# TensorRT beside them, and a step of training beside PyTorch's.
#
#   bench/gpu_check.sh [--out FOLDER] [--device N] [--quick] [SECTION...]
#
# Sections: build tests sanitizer bench peers train (default: all of them). FOLDER (default build/gpu/check) gets the logs and
# the figures as JSON; the table comes last. A machine without the packages of setup.sh brings build/gpu along
# (bench/gpu_bundle.sh makes it) and leaves `build` out. GPU_CHECK_SECONDS bounds the call (default 570). --quick: one network, one precision, few repeats.
set -uo pipefail
cd "$(dirname "$0")/.."

out=build/gpu/check device=0 quick=
sections=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=$2; shift ;;
    --device) device=$2; shift ;;
    --quick) quick=yes ;;
    build | tests | sanitizer | bench | peers | train) sections+=("$1") ;;
    *) echo "gpu_check.sh: $1 is no option and no section (build tests sanitizer bench peers train)" >&2; exit 2 ;;
  esac
  shift
done
[ ${#sections[@]} -gt 0 ] || sections=(build tests sanitizer bench peers train)
mkdir -p "$out"
rm -f "$out"/*.json  # of an earlier call
program=build/gpu/srengine
# Ten minutes for all of it; what is still running then ends, and the table is printed.
deadline=$((SECONDS + ${GPU_CHECK_SECONDS:-570}))
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
# step NAME LOG COMMAND...: runs it until the deadline, keeps its output, says how long it took.
step() {
  local name=$1 log=$out/$2 start=$SECONDS left=$((deadline - SECONDS))
  shift 2
  if [ $left -lt 5 ]; then report "$name" skipped "no time is left for $log"; return 1; fi
  if timeout $left "$@" >"$log" 2>&1; then report "$name" ok "$((SECONDS - start)) s, $log"; return 0; fi
  report "$name" FAILED "$((SECONDS - start)) s: $(grep -v '^$' "$log" | tail -n 1 | cut -c1-120)"
  return 1
}

if wanted build; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i "$device" 2>/dev/null | tr -d '. ')
  if [ -z "$capability" ]; then
    report build FAILED "nvidia-smi names no GPU"
  else
    step build build.log bench/gpu_bundle.sh "$capability"
  fi
  if [ $failed -ne 0 ]; then cat "$summary"; exit 1; fi
fi
if [ ! -x $program ]; then
  echo "gpu_check.sh: $program is not there; run the section build, or bench/gpu_bundle.sh on a machine with the packages" >&2
  exit 2
fi
# Our own programs with the libraries that were brought along, nobody else's.
ours=(env SRENGINE_CUDA_PLUGIN="$PWD/build/gpu/libsrengine_cuda.so")
[ -d build/gpu/lib ] && ours+=(LD_LIBRARY_PATH="$PWD/build/gpu/lib")
"${ours[@]}" $program backends | tee "$out/backends.txt" >&2

if wanted tests; then
  step tests conv3d.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_conv3d_cuda
  step tests network.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_network_cuda
  step tests gradients.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_conv3d_backward_cuda
  step tests training.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_train_engine_cuda
  step tests critic.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_critic_cuda
  step tests critic-training.log "${ours[@]}" SRENGINE_TEST_GPU=1 build/gpu/tests/test_critic_engine_cuda
fi

if wanted sanitizer; then
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
  if [ -n "$sanitizer" ]; then
    for tool in memcheck racecheck; do
      step sanitizer $tool.log "${ours[@]}" SRENGINE_TEST_GPU=1 "$sanitizer" --tool $tool --error-exitcode 1 \
        build/gpu/tests/test_conv3d_cuda "results on the device*"
      step sanitizer $tool-training.log "${ours[@]}" SRENGINE_TEST_GPU=1 "$sanitizer" --tool $tool --error-exitcode 1 \
        build/gpu/tests/test_train_engine_cuda "a saved state*"
    done
  else
    report sanitizer skipped "compute-sanitizer is not on PATH"
  fi
fi

if wanted bench; then
  models=(b8u4 b4u4 b6u4) precisions=(f16 fp32 tf32 bf16) repeats=15
  [ -n "$quick" ] && models=(b4u4) precisions=(fp32) repeats=3
  for model in "${models[@]}"; do
    for precision in "${precisions[@]}"; do
      step bench "$model-$precision.log" "${ours[@]}" $program bench --model "$model" --precision "$precision" \
        --device cuda:"$device" --patches $repeats --json "$out/$model-$precision.json"
    done
  done
fi

if wanted peers; then
  # TensorRT, where it is not installed: in an environment of its own, if pip brings it within two minutes.
  python=python3
  has_tensorrt() { "$1" -c 'import tensorrt, torch'; }
  install_tensorrt() {
    local cuda limit=$((deadline - SECONDS < 120 ? deadline - SECONDS : 120))
    [ $limit -gt 0 ] && cuda=$(python3 -c 'import torch; print(torch.version.cuda.split(".")[0])') &&
      timeout $limit python3 -m venv --system-site-packages build/gpu/peers &&
      timeout $limit build/gpu/peers/bin/python -m pip install --quiet --retries 0 --timeout 5 "tensorrt-cu$cuda" onnx
  }
  if [ -z "$quick" ] && ! has_tensorrt python3 2>/dev/null; then
    python=build/gpu/peers/bin/python
    if ! { has_tensorrt $python || { install_tensorrt && has_tensorrt $python; }; } >"$out/tensorrt.log" 2>&1; then
      report peers skipped "TensorRT is not there and pip did not bring it, $out/tensorrt.log"
      python=python3
    fi
  fi
  step peers peers.log $python bench/peers/mdcsrn_gpu_peers.py --model b8u4 --device "$device" --json "$out/peers.json" \
    ${quick:+--quick}
fi

if wanted train; then
  # PyTorch finds its own libraries; srtrain's are those that were brought along.
  wrapper=$out/srtrain.sh
  printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(printf '%q ' "${ours[@]}")" "$PWD/build/gpu/srtrain" >"$wrapper"
  printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(printf '%q ' "${ours[@]}")" "$PWD/$program" >"$out/srengine.sh"
  chmod +x "$wrapper" "$out/srengine.sh"
  step train train.log python3 bench/peers/train_peers.py --srengine "$out/srengine.sh" --srtrain "$wrapper" \
    --device cuda --steps "$([ -n "$quick" ] && echo 5 || echo 40)" --json "$out/train.json"
fi

{
  cat "$summary"
  python3 - "$out" <<'PY' || true
import json, pathlib, sys
rows = []
patches = {"320x320x256": 5 * 5 * 4, "181x217x181": 3 * 4 * 3}  # of 64 voxels that are kept
for path in sorted(pathlib.Path(sys.argv[1]).glob("b*u4-*.json")):
    f = json.loads(path.read_text())
    for volume, n in patches.items():
        rows.append((f["model"], path.stem.split("-")[-1], volume, f["ms_per_patch"]["median"] * n,
                     f["ms_per_patch"]["median"], f["gflops"] / f["peak_gflops"]))
peers = pathlib.Path(sys.argv[1]) / "peers.json"
best = {"PyTorch": {}, "TensorRT": {}}
if peers.exists():
    for row in json.loads(peers.read_text())["rows"]:
        of = best["TensorRT" if row["mode"] == "tensorrt" else "PyTorch"]
        of[row["precision"]] = min(row["ms_per_patch"], of.get(row["precision"], float("inf")))
print(f"{'model':6} {'prec.':5} {'volume':12} {'ms/volume':>10} {'ms/patch':>9} {'x fp32 peak':>11} {'x PyTorch':>10} "
      f"{'x TensorRT':>10}")
for model, precision, volume, whole, patch, share in rows:
    times = " ".join(f"{of[precision] / patch:10.1f}" if model == "b8u4" and precision in of else f"{'':10}"
                     for of in best.values())
    print(f"{model:6} {precision:5} {volume:12} {whole:10.1f} {patch:9.3f} {share:11.2f} {times}".rstrip())
train = pathlib.Path(sys.argv[1]) / "train.json"
if train.exists():
    f = json.loads(train.read_text())
    theirs = min(f["torch_s_per_step"].values(), default=float("nan"))
    print(f"training b4u4, {f['batch']} x {f['patch']}^3: {1e3 * f['srtrain_s_per_step']:.1f} ms a step, "
          f"PyTorch's best {1e3 * theirs:.1f} ms, {theirs / f['srtrain_s_per_step']:.1f} x")
PY
} | tee "$out/table.txt"
exit $failed

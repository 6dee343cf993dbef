#!/usr/bin/env bash
# Everything that needs a GPU, in one call of ten minutes at most: builds for the card, runs the GPU tests, looks for bad
# memory accesses and races on a small case, times b4u4, b6u4 and b8u4 in every precision, PyTorch, TensorRT and cuDNN
# beside b8u4 and the paper's baselines, and a step of training beside PyTorch's.
#
#   bench/gpu_check.sh [--out FOLDER] [--device N] [--quick] [SECTION...]
#
# Sections: build tests sanitizer bench train peers (default: all of them, in this order). FOLDER (default build/gpu/check) gets the logs and
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
    build | tests | sanitizer | bench | train | peers) sections+=("$1") ;;
    *) echo "gpu_check.sh: $1 is no option and no section (build tests sanitizer bench train peers)" >&2; exit 2 ;;
  esac
  shift
done
[ ${#sections[@]} -gt 0 ] || sections=(build tests sanitizer bench train peers)
mkdir -p "$out"
rm -f "$out"/*.json "$out"/peers*/*.json  # of an earlier call
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

# cuDNN where PyTorch has it, unless CUDNN_ROOT says otherwise.
if [ -z "${CUDNN_ROOT:-}" ]; then
  CUDNN_ROOT=$(python3 -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])' 2>/dev/null) || CUDNN_ROOT=
fi
[ -n "$CUDNN_ROOT" ] && export CUDNN_ROOT

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
# As one word, for scripts that start a program by its name.
for name in srengine srtrain; do
  printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(printf '%q ' "${ours[@]}")" "$PWD/build/gpu/$name" >"$out/$name.sh"
  chmod +x "$out/$name.sh"
done
# peers.py looks for it here.
if [ -x build/gpu/bench/cudnn_convs ]; then
  mkdir -p "$out/bench"
  printf '#!/bin/sh\nexec env LD_LIBRARY_PATH="%s" "%s" "$@"\n' \
    "$PWD/build/gpu/lib${CUDNN_ROOT:+:$CUDNN_ROOT/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
    "$PWD/build/gpu/bench/cudnn_convs" >"$out/bench/cudnn_convs"
  chmod +x "$out/bench/cudnn_convs"
fi
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

if wanted train; then
  step train train.log python3 bench/peers/train_peers.py --srengine "$out/srengine.sh" --srtrain "$out/srtrain.sh" \
    --device cuda --steps "$([ -n "$quick" ] && echo 5 || echo 40)" --json "$out/train.json"
fi

if wanted peers; then
  # TensorRT, where it is not installed: in an environment of its own, if pip brings it within two minutes.
  python=python3
  has_tensorrt() { "$1" -c 'import tensorrt, torch, onnx'; }
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
  [ -x "$out/bench/cudnn_convs" ] || report peers skipped "cuDNN: CMake did not find it, there is no cudnn_convs"
  peers() {  # name of log and figures, options
    step peers "$1.log" $python bench/peers/peers.py --program "$out/srengine.sh" --device cuda:"$device" --rounds 3 \
      --out "$out/$1" "${@:2}"
  }
  if [ -n "$quick" ]; then
    peers peers --models b4u4 --peers torch
  else
    others=torch,torch-last,cudnn,tensorrt
    peers peers --models b8u4 --precisions f16,fp32,tf32,bf16 --peers $others
    peers peers-baselines --models fsrcnn,srdensenet,srresnet --peers $others
    peers peers-compiled --models b8u4 --precisions f16,tf32 --peers torch-compile  # a minute or two each
  fi
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
libraries = ("PyTorch", "TensorRT", "cuDNN")  # cuDNN: convolutions only
ms, ratio = {}, {}  # of one patch alone, in the same rounds, by (model, precision); ratio also by library: the best there is
for path in sorted(pathlib.Path(sys.argv[1]).glob("peers*/*.json")):
    for of_model in json.loads(path.read_text())["models"].values():
        case = of_model["model"], of_model["precision"]
        for system, row in of_model["systems"].items():
            library = system.split()[0]
            if library == "srengine":
                ms.setdefault(case, row["ms"]["median"])
            else:
                ratio[case + (library,)] = min(row["ratio"]["median"], ratio.get(case + (library,), float("inf")))
print(f"{'model':10} {'prec.':5} {'volume':12} {'ms/volume':>10} {'ms/patch':>9} {'x fp32 peak':>11}")
for model, precision, volume, whole, patch, share in rows:
    print(f"{model:10} {precision:5} {volume:12} {whole:10.1f} {patch:9.3f} {share:11.2f}")
if ms:
    print("one patch alone, with the way to the GPU and back (cuDNN: without), and how many times as long others take")
    print(f"{'model':10} {'prec.':5} {'ms':>9}" + "".join(f"{library:>10}" for library in libraries))
for case, ours in ms.items():
    theirs = (ratio.get(case + (library,)) for library in libraries)
    print(f"{case[0]:10} {case[1]:5} {ours:9.3f}" + "".join(f"{r:10.1f}" if r else f"{'':10}" for r in theirs))
train = pathlib.Path(sys.argv[1]) / "train.json"
if train.exists():
    f = json.loads(train.read_text())
    theirs = min(f["torch_s_per_step"].values(), default=float("nan"))
    print(f"training b4u4, {f['batch']} x {f['patch']}^3: {1e3 * f['srtrain_s_per_step']:.1f} ms a step, "
          f"PyTorch's best {1e3 * theirs:.1f} ms, {theirs / f['srtrain_s_per_step']:.1f} x")
PY
} | tee "$out/table.txt"
exit $failed

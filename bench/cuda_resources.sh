#!/usr/bin/env bash
# Registers, shared memory and spills of every kernel, as nvcc reports them, and whether each keeps to its budget.
#
#   bench/cuda_resources.sh [ARCHITECTURE, default 90]            lists them
#   bench/cuda_resources.sh --check bench/cuda_resources.txt [90] fails where a kernel takes more than the file allows
#   bench/cuda_resources.sh --update bench/cuda_resources.txt [90]
set -euo pipefail
cd "$(dirname "$0")/.."
mode=list budget=
case ${1:-} in
  --check | --update) mode=${1#--} budget=$2; shift 2 ;;
esac
architecture=${1:-90}
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
[ -n "$nvcc" ] || { echo "skipped: there is no nvcc"; exit 77; }
report=$(mktemp)
trap 'rm -f "$report" "$report".*' EXIT
ptxas_report() {
  set -o pipefail
  "$1" -std=c++20 -O3 -arch="sm_$2" -I. -Xptxas -v -cubin -o /dev/null "$3" 2>&1 | c++filt
}
export -f ptxas_report
printf '%s\n' kernels/cuda/*.cu | grep -v _library |
  xargs -P "$(nproc)" -I{} bash -c 'ptxas_report "$@" >"$0.$$"' "$report" "$nvcc" "$architecture" {}
cat "$report".* | awk -v OFS='\t' '
  /Compiling entry function/ { name = $0; sub(/.*entry function ./, "", name); sub(/. for .sm_.*/, "", name)
    sub(/^void /, "", name); gsub(/sr::cuda::|\(anonymous namespace\)::/, "", name)
    gsub(/\(Precision\)1/, "tf32", name); gsub(/\(Precision\)2/, "f16", name); gsub(/\(Precision\)3/, "bf16", name)
    gsub(/\(Pass\)0/, "forward", name); gsub(/\(Pass\)1/, "backward", name); gsub(/\(Pass\)2/, "tangent", name)
    gsub(/\(Pass\)3/, "backward_tangent", name)
    sub(/\(.*/, "", name) }
  /bytes stack frame/ { spill = $5 + $9 }
  /Used [0-9]+ registers/ { shared = 0; for (i = 1; i <= NF; i++) { if ($i == "registers,") registers = $(i - 1)
      if ($i ~ /^smem/) shared = $(i - 2) } print name, registers, shared, spill }' | sort >"$report"
case $mode in
  list) { printf 'kernel\tregisters\tshared bytes\tspilled bytes\n'; cat "$report"; } | column -t -s $'\t' ;;
  update) { echo "# kernel, registers, shared bytes, spilled bytes of sm_$architecture, of nvcc $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'); bench/cuda_resources.sh --update"
            cat "$report"; } >"$budget" ;;
  check)
    # Registers change with the compiler: the budget is that of one toolkit.
    release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    if ! grep -q "of nvcc $release" "$budget"; then
      echo "skipped: the budget is not that of nvcc $release"
      exit 77
    fi
    awk -F '\t' 'NR == FNR { if ($1 !~ /^#/) { registers[$1] = $2; shared[$1] = $3 } next }
      !($1 in registers) { print $1 " has no budget; bench/cuda_resources.sh --update adds it"; bad = 1; next }
      $2 > registers[$1] + 0 { print $1 " takes " $2 " registers, " registers[$1] " are allowed"; bad = 1 }
      $3 > shared[$1] + 0 { print $1 " takes " $3 " bytes of shared memory, " shared[$1] " are allowed"; bad = 1 }
      $4 > 0 { print $1 " spills " $4 " bytes"; bad = 1 }
      { seen[$1] = 1 }
      END { for (kernel in registers) if (!(kernel in seen)) { print kernel " is gone; --update forgets it"; bad = 1 }
        exit bad }' "$budget" "$report" && echo "$(wc -l <"$report") kernels keep to their budget" ;;
esac

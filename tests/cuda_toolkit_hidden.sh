#!/usr/bin/env bash
# The real CUDA plugin where there is neither a toolkit nor a GPU: it needs nothing of CUDA's to be loaded, says in one
# line why there is no GPU, and the CPU runs. Any GPU of this machine is hidden.
# cuda_toolkit_hidden.sh SRENGINE PLUGIN|none WEIGHTS. Exit code 77 (CTest: skipped) where the plugin was not built.
set -euo pipefail
program=$1 plugin=$2 weights=$3
if [ "$plugin" = none ]; then
  echo "skipped: this build has no CUDA plugin (SRENGINE_CUDA is off)"
  exit 77
fi
fail() {
  echo "$*" >&2
  exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# What the dynamic linker must find: the C library's parts and nothing else.
readelf -d "$plugin" >dynamic
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' dynamic)
[ -n "$needed" ] || fail "readelf lists nothing that $plugin needs"
others=$(grep -vE '^(lib(c|m|dl|pthread|rt)\.so\.[0-9]+|ld-linux[-a-z0-9_]*\.so\.[0-9]+)$' <<<"$needed" || true)
[ -z "$others" ] || fail "the plugin needs $others"
if grep -qE '\((RPATH|RUNPATH)\)' dynamic; then fail "the plugin names folders of the machine it was built on"; fi

# The one that is run is the one beside the program, as installed.
[ "$(dirname "$plugin")" = "$(dirname "$program")" ] || fail "$plugin is not beside $program"
hidden() {
  env -u SRENGINE_CUDA_PLUGIN -u LD_LIBRARY_PATH -u LD_PRELOAD -u CUDA_PATH -u CUDA_HOME CUDA_VISIBLE_DEVICES= \
    PATH=/usr/bin:/bin LD_DEBUG=libs LD_DEBUG_OUTPUT="$folder/linker" "$program" "$@"
}
hidden backends >out 2>err || fail "backends failed: $(cat err)"
cat out
[ ! -s err ] || fail "backends wrote to stderr: $(cat err)"
grep -q '^cpu ' out || fail "backends does not list the CPU"
[ "$(grep -c '^cuda' out)" = 1 ] || fail "backends says other than one line about CUDA"
why=$(sed -n 's/^cuda    no: //p' out)
[ -n "$why" ] || fail "backends does not say why there is no GPU"
case $why in
  *"no CUDA plugin"* | *"cannot be loaded"* | *"another version"* | *"does not exist"*) fail "the plugin was not used: $why" ;;
esac

hidden phantom -o head.nii --size 16x16x12 >out 2>err || fail "phantom failed: $(cat err)"
hidden run -w "$weights" --device auto --patch 16 head.nii -o auto.nii >out 2>err || fail "run failed: $(cat err)"
[ "$(grep -cF "no GPU: $why" err)" = 1 ] || fail "run does not say why there is no GPU: $(cat err)"
grep -q 'CPU (' err || fail "run does not name the CPU: $(cat err)"
hidden run -w "$weights" --device cpu --patch 16 head.nii -o cpu.nii >out 2>err || fail "run failed: $(cat err)"
cmp auto.nii cpu.nii
if hidden run -w "$weights" --device cuda --patch 16 head.nii -o cuda.nii >out 2>err; then
  fail "run --device cuda went on without a GPU"
else
  [ $? = 6 ] || fail "run --device cuda did not end with 6: $(cat err)"
fi
[ ! -e cuda.nii ] || fail "run --device cuda left a file"

# Of CUDA, only the driver was ever looked for.
looked_for=$(cat linker.* | sed -n 's/.*find library=\([^ ]*\).*/\1/p' | sort -u)
[ -n "$looked_for" ] || fail "the dynamic linker told nothing"
if grep -E '^lib(cu|nv)' <<<"$looked_for" | grep -vE '^lib(cuda|nvidia-ml)\.so'; then
  fail "a part of the toolkit was looked for"
fi

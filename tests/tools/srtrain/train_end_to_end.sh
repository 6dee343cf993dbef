# What tests of the trainer as a program share; sourced, with $srengine set: an empty folder $work that goes with the
# script, two digital heads in $work/data, and expect.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

heads() {  # size
  mkdir "$work/data"
  for seed in 1 2; do
    "$srengine" phantom --size "$1" --seed $seed --output "$work/data/head$seed.nii.gz" >/dev/null
  done
}

expect() {  # exit code, sentence, command...
  local code=0
  "${@:3}" 2>"$work/said" >/dev/null || code=$?
  [ $code = "$1" ] && grep -q -e "$2" "$work/said" || { echo "wanted $1 and '$2', got $code:"; cat "$work/said"; exit 1; }
}

#!/usr/bin/env bash
# The test of tests/rooms.sh: plants one fault after the other in a copy of the sources and expects to be told of it, by
# file and line, and of nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
find docs/architecture.md engine kernels weights tools tests bench -type f \
  \( -name '*.md' -o -name '*.h' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' -o -name '*.c' \) -print0 |
  tar -c --null -T - | tar -x -C "$copy"
failed=0
# expect WHAT-IT-SAYS: exactly one fault, which begins so.
expect() {
  local said
  if said=$(tests/rooms.sh "$copy"); then
    echo "FAILED: nothing was said, where it should be: $1"
    failed=1
  elif [[ $said != "$1"*$'\n'"rooms: 1 faults" ]]; then
    printf 'FAILED: it should say\n  %s\nand said\n%s\n' "$1" "$said"
    failed=1
  else
    echo "ok: ${said%%$'\n'*}"
  fi
}
# include FILE WHAT SAYS: a file of one include, which must be told of.
include() {
  printf '// A fault.\n%s\n' "$2" >"$copy/$1"
  expect "$1:2: $3"
  rm "$copy/$1"
}

tests/rooms.sh "$copy"
include kernels/planted.h '#include "engine/networks/plan.h"' 'kernels includes engine/networks/plan.h: engine/networks stands higher'
include kernels/planted.h '#include "weights/schema.h"' 'kernels includes weights/schema.h: weights/* stands higher'
include weights/planted.cpp '  #  include "kernels/conv3d.h"' 'weights/* includes kernels/conv3d.h: kernels is not for it'
include engine/images/planted.h '#include <engine/pipeline.h>' 'engine/images includes engine/pipeline.h: engine stands higher'
include engine/planted.cpp '#include "tools/common/parse.h"' 'engine includes tools/common/parse.h: tools/common stands higher'
include engine/planted.cpp '#include "tests/support/cases.h"' 'engine includes tests/support/cases.h: tests/* stands higher'
include tools/planted.cpp '#include "tests/support/npy.h"' 'tools includes tests/support/npy.h: tests/* stands higher'
include kernels/emulation/planted.cpp '#include "kernels/cuda/api.h"' 'kernels/emulation includes kernels/cuda/api.h: kernels/cuda stands higher'
include kernels/cuda/planted.cu '#include "../conv3d.h"' 'includes ../conv3d.h: paths begin at the root'
include engine/planted.cpp '#include "pipeline.h"' 'includes pipeline.h, which is in no room'
mkdir "$copy/engine/attic"
echo >"$copy/engine/attic/planted.h"
expect 'engine/attic/planted.h:1: this folder is no room'
rm -r "$copy/engine/attic"
# A circle is an arrow that points up in the table itself.
sed -i 's,^| engine/base |\(.*\)| nothing |,| engine/base |\1| kernels |,' "$copy/docs/architecture.md"
expect "docs/architecture.md:$(grep -n '^| engine/base |' docs/architecture.md | cut -d: -f1): engine/base may not include kernels"
exit $failed

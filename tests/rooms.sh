#!/usr/bin/env bash
# Who may include whom: holds every include of the project against the table of rooms in docs/architecture.md. Says file
# and line of each include that the table does not allow, and fails. The table is checked as well: a room may name only
# rooms above its own line, so that no arrow points up and no circle can be.
#
#   tests/rooms.sh [FOLDER, default the project's]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
find engine kernels weights tools tests bench -type f \
  \( -name '*.h' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.cu' -o -name '*.c' \) -print0 |
  LC_ALL=C sort -z | xargs -0 awk '
function trim(s) { gsub(/^[ \t]+|[ \t\r]+$/, "", s); return s }
function fault(text) { print text; n_faults++ }
function at() { return FILENAME ":" FNR ": " }

# The room of a path: its folder; "tests/*" in the table is a folder with all that are below it.
function room_of(path,   folder) {
  folder = path
  if (!sub(/\/[^\/]*$/, "", folder)) return ""
  if (folder in stands) return folder
  for (;;) {
    if ((folder "/*") in stands) return folder "/*"
    if (!sub(/\/[^\/]*$/, "", folder)) return ""
  }
}

# ---- The table: | room | what | may include | ----
FILENAME == ARGV[1] {
  if ($0 ~ /^\| room \|/) { in_table = 1; next }
  if ($0 !~ /^\|/) in_table = 0
  if (!in_table || $0 ~ /^\| *-/) next
  split($0, cell, "|")
  room = trim(cell[2])
  if (room in stands) fault(at() room " stands in the table twice")
  stands[room] = ++n_rooms
  n = split(cell[4], names, ",")
  for (i = 1; i <= n; i++) {
    name = trim(names[i])
    if (name == "nothing") continue
    if (name in stands && name != room) may[room, name] = 1
    else fault(at() room " may not include " name ", which does not stand above it in the table")
  }
  next
}

# ---- The files ----
FNR == 1 {
  n_files++
  here = room_of(FILENAME)
  if (here == "") fault(at() "this folder is no room of the table in " ARGV[1])
}
/^[ \t]*#[ \t]*include[ \t]*["<]/ {
  quoted = $0 ~ /include[ \t]*"/
  path = $0
  sub(/^[^"<]*["<]/, "", path)
  sub(/[">].*$/, "", path)
  there = room_of(path)
  if (path ~ /(^|\/)\.\.?\//) fault(at() "includes " path ": paths begin at the root of the project")
  else if (there == "" && quoted) fault(at() "includes " path ", which is in no room of the table in " ARGV[1])
  if (there == "" || here == "") next
  n_includes++
  if (there != here && !((here, there) in may))
    fault(at() here " includes " path ": " there (stands[there] > stands[here] ? " stands higher" : " is not for it"))
}
END {
  if (n_rooms < 2 || n_includes < 2) fault("rooms: found " n_rooms + 0 " rooms and " n_includes + 0 " includes; is this the project?")
  if (n_faults) { print "rooms: " n_faults " faults"; exit 1 }
  print "rooms: " n_includes " includes in " n_files " files, " n_rooms " rooms: every arrow points down"
}' docs/architecture.md

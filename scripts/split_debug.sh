#!/usr/bin/env bash
# Strips a program, and keeps its line tables in a file beside it, which stack traces and debuggers find there by its name.
#
#   scripts/split_debug.sh PROGRAM FOLDER   writes FOLDER/NAME and FOLDER/NAME.debug
set -euo pipefail
program=${1:?usage: scripts/split_debug.sh PROGRAM FOLDER}
folder=${2:?usage: scripts/split_debug.sh PROGRAM FOLDER}
name=$(basename "$program")
mkdir -p "$folder"
objcopy --only-keep-debug --compress-debug-sections=zlib "$program" "$folder/$name.debug"
chmod 0644 "$folder/$name.debug"
# The link holds the file's name and checksum, so it is written from the folder.
objcopy --strip-all "$program" "$folder/$name"
(cd "$folder" && objcopy --add-gnu-debuglink="$name.debug" "$name")

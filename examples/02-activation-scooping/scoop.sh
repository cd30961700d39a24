#!/usr/bin/env bash
# Says what arrives in a folder and the folders that are made in it: scoop.sh FOLDER
set -euo pipefail
folder=$1
declare -A seen=()

# A file, its size, its first line as text.
arrived() {
  local file=$1 line
  [[ -z ${seen[$file]:-} ]] || return 0
  seen[$file]=yes
  IFS= read -r line <"${file%.npy}.csv" || true
  printf '%-40s %7d bytes  %.44s\n' "${file#"$folder"/*/}" "$(stat -c %s "$file")" "$line"
}

# inotifywait ends with us.
coproc watch { exec inotifywait --monitor --recursive --event create --event moved_to --event close_write --format '%w%f' "$folder"; }
# shellcheck disable=SC2154
trap "kill $watch_PID" EXIT
trap 'exit 0' INT TERM

while IFS= read -r path; do
  if [[ -d $path ]]; then
    # A folder was made: what came into it before inotifywait watched it is there already.
    for file in "$path"/*.npy; do [[ ! -e $file ]] || arrived "$file"; done
  elif [[ $path == *.npy ]]; then
    arrived "$path"
  fi
done <&"${watch[0]}"

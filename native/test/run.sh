#!/usr/bin/env bash
# Builds the data plane without Node and runs its tests plain, under ASan+UBSan and under TSan, with warnings as errors.
# The serving part needs root and /dev/fuse; without them it is named as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
build=test/build
mkdir -p "$build"
# Everything but the bindings, which need Node.
shopt -s extglob
sources=(!(*binding).cc)
flags=(-std=c++20 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror -g -pthread)

compile() { # variant, compiler flags
  local variant=$1
  shift
  local objects=()
  for source in "${sources[@]}"; do
    local object="$build/${source%.cc}.$variant.o"
    if [[ "$object" -ot "$source" || -n "$(find . -maxdepth 1 -name '*.h' -newer "$object" 2>/dev/null)" ]]; then
      g++ "${flags[@]}" "$@" -c "$source" -o "$object"
    fi
    objects+=("$object")
  done
  g++ "${flags[@]}" "$@" test/unit_test.cc "${objects[@]}" -o "$build/unit_test.$variant"
  g++ "${flags[@]}" "$@" test/numbers_test.cc "${objects[@]}" -o "$build/numbers_test.$variant"
  g++ "${flags[@]}" "$@" test/block_source_test.cc "${objects[@]}" -o "$build/block_source_test.$variant"
  g++ "${flags[@]}" "$@" test/view_opens_test.cc "${objects[@]}" -o "$build/view_opens_test.$variant"
  g++ "${flags[@]}" "$@" test/guarded_mapping_test.cc "${objects[@]}" -o "$build/guarded_mapping_test.$variant"
  g++ "${flags[@]}" "$@" test/write_lane_test.cc "${objects[@]}" -o "$build/write_lane_test.$variant"
  g++ "${flags[@]}" "$@" test/tree_test.cc "${objects[@]}" -o "$build/tree_test.$variant"
  g++ "${flags[@]}" "$@" test/one_file_server.cc "${objects[@]}" -o "$build/one_file_server.$variant"
  if [[ $variant == asan ]]; then
    for fuzz in test/fuzz/*_fuzz.cc; do
      local name=${fuzz##*/}
      g++ "${flags[@]}" "$@" "$fuzz" test/fuzz/random_driver.cc "${objects[@]}" -o "$build/${name%.cc}.$variant"
    done
  fi
}

compile plain -O2
compile asan -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
compile tsan -O1 -fsanitize=thread

passed=0
# What fuzz.sh drives with libFuzzer, with random inputs that are the same at every run.
for fuzz in test/fuzz/*_fuzz.cc; do
  name=${fuzz##*/}
  "$build/${name%.cc}.asan" 1500 "${MLFS_SEED:-1}"
  passed=$((passed + 1))
done
for variant in plain asan tsan; do
  echo "native unit tests ($variant)"
  "$build/unit_test.$variant"
  "$build/numbers_test.$variant"
  "$build/block_source_test.$variant"
  "$build/view_opens_test.$variant"
  "$build/guarded_mapping_test.$variant"
  "$build/tree_test.$variant"
  "$build/write_lane_test.$variant"
  passed=$((passed + 1))
  if [[ $(id -u) -eq 0 && -r /dev/fuse ]]; then
    echo "native server ($variant)"
    bash test/serve.sh "$build/one_file_server.$variant"
    passed=$((passed + 1))
  else
    echo "skipped: native server ($variant): needs root and /dev/fuse"
  fi
done
echo "native: $passed suites passed"

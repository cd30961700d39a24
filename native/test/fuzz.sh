#!/usr/bin/env bash
# npm run test:fuzz:native -- [MINUTES] [TARGET...]
#
# libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer over the native code that reads what others wrote: texts of numbers, elements,
# statistics, layouts with dirty pieces, messages from the device, checksums. MINUTES (6) are shared among the targets.
# MLFS_SEED chooses the seed. Inputs that reach new code are kept in native/test/build/fuzz/TARGET from one run to the next; one that fails is
# written beside them as TARGET-crash-…, and `native/test/build/fuzz/TARGET_fuzz FILE` makes the failure again.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v clang++ > /dev/null || ! ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a > /dev/null 2>&1; then
  echo "libFuzzer is not installed. On Debian: sudo apt-get install clang libclang-rt-14-dev" >&2
  echo "Without it, npm run test:native drives the same targets with random inputs." >&2
  exit 2
fi
minutes=${1:-6}
shift || true
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for file in test/fuzz/*_fuzz.cc; do
    name=${file##*/}
    targets+=("${name%_fuzz.cc}")
  done
fi
seed=${MLFS_SEED:-1}
seconds=$(awk -v minutes="$minutes" -v count="${#targets[@]}" 'BEGIN { s = int(minutes * 60 / count); print s < 1 ? 1 : s }')
build=test/build/fuzz
mkdir -p "$build"
# Everything but the bindings, which need Node.
shopt -s extglob
sources=(!(*binding).cc)
flags=(-std=c++20 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -g -O1 -pthread -fno-sanitize-recover=all)
objects=()
for source in "${sources[@]}"; do
  object="$build/${source%.cc}.o"
  if [[ "$object" -ot "$source" || -n "$(find . -maxdepth 1 -name '*.h' -newer "$object" 2>/dev/null)" ]]; then
    clang++ "${flags[@]}" -fsanitize=fuzzer-no-link,address,undefined -c "$source" -o "$object"
  fi
  objects+=("$object")
done

failed=()
echo "seed $seed, $seconds s for each of ${#targets[@]} targets"
for target in "${targets[@]}"; do
  program="$build/${target}_fuzz"
  clang++ "${flags[@]}" -fsanitize=fuzzer,address,undefined "test/fuzz/${target}_fuzz.cc" "${objects[@]}" -o "$program"
  mkdir -p "$build/$target"
  log="$build/$target.log"
  options=(-seed="$seed" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
  [[ $target == number_text ]] && options+=(-dict=test/fuzz/numbers.dict)
  if "$program" "${options[@]}" -artifact_prefix="$build/$target-" "$build/$target" > "$log" 2>&1; then
    verdict=ok
  else
    verdict=FAILED
    failed+=("$target")
    grep -v '^#' "$log" | tail -40
  fi
  executions=$(awk '/number_of_executed_units/ { print $2 }' "$log")
  memory=$(awk '/peak_rss_mb/ { print $2 }' "$log")
  slowest=$(awk '/slowest_unit_time_sec/ { print $2 }' "$log")
  echo "$target: $verdict, ${executions:-?} executions, slowest ${slowest:-?} s, ${memory:-?} MB"
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}"
  exit 1
fi

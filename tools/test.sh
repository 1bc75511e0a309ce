#!/usr/bin/env bash
# Builds heed with warnings as errors and runs every test under ctest. Installs what is missing first.
#   tools/test.sh              everything: layout, lint, tests, sanitizers
#   tools/test.sh --bless      writes the golden texts anew
#   tools/test.sh --coverage   line coverage of the tests, as a table and under build/coverage/report
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_packages.sh

jobs=$(nproc)
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

build() {  # PRESET [TARGET…]
  local preset=$1
  shift
  cmake --preset "$preset" -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache >"build/$preset.log" 2>&1 || {
    cat "build/$preset.log" >&2
    return 1
  }
  echo "building $preset" >&2
  cmake --build --preset "$preset" --parallel "$jobs" ${1:+--target "$@"} >"build/$preset.log" 2>&1 || {
    tail -n 60 "build/$preset.log" >&2
    return 1
  }
}
mkdir -p build

case "${1:-}" in
  "") ;;
  --bless)
    build dev
    HEED_BLESS=1 ctest --preset dev --parallel "$jobs"
    exit
    ;;
  --coverage)
    build coverage
    mkdir -p build/coverage/profiles
    LLVM_PROFILE_FILE=$PWD/build/coverage/profiles/%p.profraw ctest --test-dir build/coverage --parallel "$jobs" --output-on-failure
    llvm-profdata-19 merge --sparse build/coverage/profiles/*.profraw --output build/coverage/all.profdata
    objects=$(find build/coverage/tests -maxdepth 1 -name 'test_*' -type f -executable -printf '--object %p ')
    # shellcheck disable=SC2086
    llvm-cov-19 report build/coverage/tools/heed $objects --instr-profile build/coverage/all.profdata --ignore-filename-regex '/usr/|/tests/|/build/'
    exit
    ;;
  *)
    echo "error: unknown argument $1; known: --bless, --coverage" >&2
    exit 2
    ;;
esac

echo "checking layout" >&2
git ls-files '*.cpp' '*.h' | xargs clang-format-19 --dry-run --Werror

# NVIDIA's assembler checks the kernels for GPUs; where there is none it comes as a Python package. Without it those tests are skipped.
find_ptxas() {
  command -v ptxas >/dev/null || [ -x /usr/local/cuda/bin/ptxas ] || [ -n "${HEED_PTXAS:-}" ] && return
  local folder=$PWD/build/ptxas
  if [ ! -x "$folder/ptxas" ] && command -v python3 >/dev/null; then
    mkdir -p "$folder"
    python3 -m pip download --quiet --no-deps --dest "$folder" nvidia-cuda-nvcc >&2 &&
      python3 -c 'import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
name = next(n for n in wheel.namelist() if n.endswith("/bin/ptxas"))
open(sys.argv[2], "wb").write(wheel.read(name))' "$folder"/*.whl "$folder/ptxas" && chmod +x "$folder/ptxas"
  fi
  if [ -x "$folder/ptxas" ]; then export HEED_PTXAS=$folder/ptxas; else echo "no ptxas: kernels for GPUs are not assembled in this run" >&2; fi
}
find_ptxas

build dev
echo "linting" >&2
tools/lint.sh build/dev

build asan test_ir test_passes test_runtime
build tsan test_runtime
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
# Random graphs that the tests under ctest do not reach, on all cores; each names its seed where it fails.
random_graphs() {  # TEST COUNT [DEVICE]
  local log=build/random.${1//[^[:alnum:]]/_}.${3:-cpu}.log
  HEED_RANDOM_SEED=20001 HEED_RANDOM_COUNT=$2 HEED_RANDOM_SECONDS=100000 HEED_TEST_DEVICE=${3:-cpu} build/dev/tests/test_random \
    --gtest_brief=1 --gtest_filter="$1" >"$log" 2>&1 || {
    cat "$log" >&2
    return 1
  }
}
export -f random_graphs
echo "random graphs" >&2
printf '%s\n' 'RandomGraphs.PassesKeepTheirMeaning 10000' 'RandomGraphs.CompiledAsEvaluated 2000' \
  'RandomGraphs.CompiledGradientsAsEvaluated 500' 'RandomGraphs.PassesKeepGradients 700' \
  'Halves/RandomAttentions.InBlocksAsWithout/0 500' 'Halves/RandomAttentions.InBlocksAsWithout/1 500' \
  'RandomGraphs.CompiledAsEvaluated 500 cuda-sim' 'RandomGraphs.CompiledGradientsAsEvaluated 500 cuda-sim' \
  'Halves/RandomAttentions.InBlocksAsWithout/0 500 cuda-sim' 'Halves/RandomAttentions.InBlocksAsWithout/1 500 cuda-sim' \
  'RandomAttention.InBf16AsEvaluated 100 cuda-sim:sm_90a' |
  xargs --max-procs "$jobs" -I '{}' bash -c 'random_graphs {}'

# One summary for all: the sanitizers' tests first, so that ctest's last words are those of the whole suite.
ctest --preset asan --parallel "$jobs" --tests-regex '^(ir|passes|runtime)\.'
ctest --preset tsan --parallel "$jobs" --tests-regex '^runtime\.'
HEED_EVERY_CHIP=1 ctest --preset dev --parallel "$jobs"

#!/usr/bin/env bash
# clang-tidy on every source whose text, headers or configuration changed since it last passed.
#   tools/lint.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
passed=$folder/lint
mkdir -p "$passed"
headers=$(cat .clang-tidy $(git ls-files '*.h') | sha256sum)

check() {
  local file=$1 stamp
  stamp=$passed/$(sha256sum - "$file" <<<"$headers" | sha256sum | cut -c 1-40)
  [ -e "$stamp" ] && return 0
  clang-tidy-19 --quiet -p "$folder" "$file" 2>/dev/null && touch "$stamp"
}
export -f check
export folder passed headers
git ls-files 'ir/*.cpp' 'passes/*.cpp' 'runtime/*.cpp' 'codegen/*.cpp' 'tools/*.cpp' |
  xargs --max-procs "$(nproc)" --max-args 1 bash -c 'check "$0"'

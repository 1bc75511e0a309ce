#!/usr/bin/env bash
# Installs what heed needs on Debian 12 and is missing: quietly, as root or through sudo.
set -euo pipefail

build=(clang-19 lld-19 llvm-19-dev libclang-rt-19-dev cmake ninja-build ccache git ca-certificates
  libfmt-dev libcli11-dev nlohmann-json3-dev zlib1g-dev liblzma-dev libzstd-dev libjemalloc-dev libgtest-dev)
check=(clang-format-19 clang-tidy-19)
run=(graphviz dataset-fashion-mnist)

missing=()
for package in "${build[@]}" "${check[@]}" "${run[@]}"; do
  dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep --quiet 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id --user)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null; then
  as_root=(sudo)
else
  echo "error: missing packages, and neither root nor sudo to install them: ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { "${as_root[@]}" apt-get update --quiet && "${as_root[@]}" apt-get install --quiet --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "error: apt-get could not install ${missing[*]}" >&2
  exit 1
fi

#!/usr/bin/env bash
# Draws docs/pictures/ anew: the worked example of docs/attention.md after each step. Needs Graphviz.
#   docs/draw_pictures.sh [HEED]      HEED: the binary (default build/release/tools/heed)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
heed=$(realpath "${1:-$root/build/release/tools/heed}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# The model is the one that the page shows.
sed -n '/^```heed causal.heed$/,/^```$/p' "$root/docs/attention.md" | sed '1d;$d' > causal.heed
draw() { "$heed" dot causal.heed --size T=2048,E=64 "${@:2}" -o "$root/docs/pictures/$1.svg"; }
draw attention-written
draw attention-sums --to name_sums
draw attention-fused --to fuse
draw attention-gradient --grad --to fuse

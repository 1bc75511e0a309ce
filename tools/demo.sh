#!/usr/bin/env bash
# Trains an attention CNN on real images and leaves weights, log, learning curve and pictures of the graph in demo/.
#   tools/demo.sh                  Fashion-MNIST, from Debian's package
#   tools/demo.sh --cifar10 DIR    CIFAR-10; DIR holds data_batch_1.bin … test_batch.bin, plain or .xz
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

model=fashion_cnn
folder=/usr/share/datasets/fashion-mnist
case "${1:-}" in
  "") ;;
  --cifar10)
    [ -d "${2:-}" ] || {
      echo "error: --cifar10 needs the folder with CIFAR-10's binary batches, got '${2:-}'" >&2
      exit 1
    }
    model=attention_cnn
    folder=$(cd "$2" && pwd)
    ;;
  *)
    echo "error: unknown argument $1; known: --cifar10 DIR" >&2
    exit 2
    ;;
esac

cd "$root"
tools/install_packages.sh
mkdir -p build
echo "building a release" >&2
{ cmake --preset release -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache &&
  cmake --build --preset release --parallel "$(nproc)" --target heed; } >build/release.log 2>&1 || {
  tail -n 60 build/release.log >&2
  exit 1
}
heed=build/release/tools/heed
$heed dot examples/$model.heed -o demo/graph.svg
$heed dot examples/$model.heed --train --to fuse -o demo/optimized.svg
$heed train examples/$model.heed --set folder="$folder" --out demo
ls -1 demo

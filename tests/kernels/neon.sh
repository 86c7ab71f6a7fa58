#!/bin/sh
# SPDX-License-Identifier: MIT
# The NEON kernels without an arm64 machine: cross-built, run by qemu, and judged by a digest of all
# results, which must be that of the native kernels.
# usage: neon.sh NATIVE_CHECKKERN SOURCE_ROOT GENERATED_INCLUDE [SEED]
set -eu

native=$1 root=$2 generated=$3 seed=${4:-1}
cc=aarch64-linux-gnu-gcc
sysroot=/usr/aarch64-linux-gnu

for tool in "$cc" qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "SKIP: no $tool"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources="$root/tests/kernels/checkkern.c $root/tests/kernels/peak.c"
sources="$sources $root/tests/kernels/check_gemm.c $root/tests/kernels/check_vec.c"
for folder in base mem cpu thread gemm gemm/c gemm/arm gemm/blis vec vec/c vec/arm; do
    for file in "$root/lib/$folder"/*.c; do
        [ -f "$file" ] && sources="$sources $file"
    done
done

# shellcheck disable=SC2086 # a list of files
"$cc" -std=c11 -D_GNU_SOURCE -DMTL__WITH_BLIS=0 -O2 -ffp-contract=off -fno-math-errno -Wall \
    -Wextra -I"$root/lib" -I"$root/include" -I"$generated" -o "$work/checkkern" $sources \
    -lm -lpthread

run="qemu-aarch64 -L $sysroot $work/checkkern"
want=$("$native" --digest --seed="$seed")
got=$($run --digest --seed="$seed")
echo "native $want"
echo "neon   $got"
[ "$want" = "$got" ] || { echo "FAIL: the NEON level gives other results"; exit 1; }

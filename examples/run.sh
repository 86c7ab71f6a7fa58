#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what is missing, build, and run the quickstart: sh examples/run.sh
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh

install_packages gcc libc6-dev meson ninja-build pkg-config
need_tools cc meson ninja

build=build/examples
say "building in $build"
configure "$build" --buildtype=release -Dtests=false -Dexamples=true
compile "$build"
say "running $build/examples/quickstart"
echo
exec "$build/examples/quickstart" examples/data/digits "$build/digits.mtl"

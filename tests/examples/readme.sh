#!/bin/sh
# SPDX-License-Identifier: MIT
# The README's program compiles as it stands: readme.sh README.md INCLUDE-FOLDER...
set -eu
readme=$1
shift
for folder in "$@"; do
    set -- "$@" "-I$folder"
    shift
done
# shellcheck disable=SC2016
program=$(sed -n '/^```c$/,/^```$/{/^```/!p;}' "$readme")
[ "$(printf '%s\n' "$program" | grep -c 'int main')" -eq 1 ]
printf '%s\n' "$program" | "${CC:-cc}" -std=c11 -Wall -Wextra -Werror "$@" \
    -fsyntax-only -x c -

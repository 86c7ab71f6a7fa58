#!/bin/sh
# SPDX-License-Identifier: MIT
# Every installed header stands alone, as C and as C++, and gives foreign parsers nothing to trip over.
# usage: headers.sh SOURCE_INCLUDE BUILD_INCLUDE
set -eu
cc=${CC:-cc} cxx=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # what, command ...
    what=$1
    shift
    if ! "$@" >"$work/out" 2>&1; then
        echo "$what"
        cat "$work/out"
        failed=1
    fi
}

found=0
for header in "$1"/mtl/*.h "$2"/mtl/*.h; do
    [ -f "$header" ] || continue
    found=$((found + 1))
    name=mtl/$(basename "$header")
    # Twice, so that the guard is tested; the last line keeps -pedantic from an empty unit.
    printf '#include <%s>\n#include <%s>\nextern int unit_is_not_empty;\n' "$name" "$name" \
        >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cpp"
    for std in c99 c11 c17; do
        check "$name as $std" "$cc" -std=$std -pedantic -Wall -Wextra -Wundef -Wstrict-prototypes \
            -Werror -fsyntax-only -I"$1" -I"$2" "$work/alone.c"
    done
    if command -v "$cxx" >/dev/null; then
        for std in c++11 c++17; do
            check "$name as $std" "$cxx" -std=$std -pedantic -Wall -Wextra -Werror -fsyntax-only \
                -I"$1" -I"$2" "$work/alone.cpp"
        done
    fi
    # What a binding generator sees: no functions with bodies, no variable arguments, nothing by
    # value, no data; <stddef.h> and <stdint.h> are all it needs.
    printf '#include <%s>\n' "$name" >"$work/one.c"
    "$cc" -E -std=c99 -I"$1" -I"$2" "$work/one.c" | awk -v name="/$name\"" '
        /^# [0-9]+ "/ { ours = index($0, name) > 0; next } ours' >"$work/ours.i"
    for bad in 'inline' '\.\.\.' 'struct *{' 'union' 'extern' 'static' '^ *}' ':[0-9]' \
               'long double' '_Complex' '\bbool\b' '\[[^]]*\]'; do
        if grep -n "$bad" "$work/ours.i" | grep -v '^[0-9]*:};$' >"$work/out"; then
            echo "$name: \"$bad\" is hard on foreign parsers:"
            cat "$work/out"
            failed=1
        fi
    done
    if grep '^# *include' "$header" | grep -v '<stddef.h>\|<stdint.h>\|<mtl/' >"$work/out"; then
        echo "$name includes more than stddef.h and stdint.h:"
        cat "$work/out"
        failed=1
    fi
done
[ $found -ge 2 ] || { echo "found $found headers in $1 and $2"; failed=1; }
exit $failed

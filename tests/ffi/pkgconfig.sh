#!/bin/sh
# SPDX-License-Identifier: MIT
# Install into an empty folder, then build and run a user's program against the installed copy by
# pkg-config alone, shared and static. usage: pkgconfig.sh BUILD_DIR user.c
set -eu
build=$1 source=$2 cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$1"
    exit 1
}

DESTDIR="$work/root" meson install -C "$build" --no-rebuild --quiet >"$work/log" 2>&1 ||
    { cat "$work/log"; fail 'meson install failed'; }
pc=$(find "$work/root" -name mtl.pc)
[ -f "$pc" ] || fail 'mtl.pc was not installed'
libdir=$(dirname "$(dirname "$pc")")
[ -n "$(find "$work/root" -path '*/include/mtl/mtl.h')" ] || fail 'mtl.h was not installed'
[ -n "$(find "$work/root" -path '*/include/mtl/version.h')" ] || fail 'version.h was not installed'
# Only the public part leaves the build.
extra=$(find "$work/root" -type f \( -name '*.h' -o -name '*.a' -o -name '*.so*' \) |
    grep -v '/include/mtl/mtl\.h$\|/include/mtl/version\.h$\|/libmtl\.a$\|/libmtl\.so[.0-9]*$' || true)
[ -z "$extra" ] || fail "installed, but not public: $extra"

export PKG_CONFIG_PATH="$(dirname "$pc")" PKG_CONFIG_SYSROOT_DIR="$work/root"
pkg-config --validate mtl || fail 'mtl.pc is not valid'
[ "$(pkg-config --modversion mtl)" = "$(sed -n 's/.*MTL_VERSION_STRING "\(.*\)"/\1/p' \
    "$(find "$work/root" -path '*/include/mtl/version.h')")" ] || fail 'mtl.pc has another version'
for flag in -lm -pthread; do
    case " $(pkg-config --static --libs mtl) " in
        *" $flag "*) ;;
        *) fail "static libs lack $flag: $(pkg-config --static --libs mtl)" ;;
    esac
    case " $(pkg-config --libs mtl) " in
        *" $flag "*) fail "shared libs should not name $flag" ;;
    esac
done

# Word splitting of pkg-config's output is meant.
# shellcheck disable=SC2046
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/shared" "$source" $(pkg-config --cflags --libs mtl)
LD_LIBRARY_PATH="$libdir" "$work/shared" || fail 'the shared program failed'
if ldd "$work/shared" | grep -q 'libmtl.*not found'; then :; else
    LD_LIBRARY_PATH="$libdir" ldd "$work/shared" | grep -q libmtl || fail 'libmtl.so is not used'
fi

# Without the shared library the linker has to take libmtl.a and what Libs.private names.
rm "$libdir"/libmtl.so*
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/static" "$source" \
    $(pkg-config --cflags --static --libs mtl)
"$work/static" || fail 'the static program failed'
ldd "$work/static" | grep -q libmtl && fail 'the static program still needs libmtl.so'
exit 0

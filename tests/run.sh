#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests, in every configuration that this machine can run: sh tests/run.sh
# The last line is "N passed, N failed, N skipped", summed from meson's logs; a configuration or
# program that is not there counts as one skipped. Exit status 0 when something passed and nothing
# failed.
set -u
cd "$(dirname "$0")/.." || exit 1
. tools/setup.sh

root=build/tests
passed=0 failed=0 skipped=0

skip() {
    say "skipped: $*"
    skipped=$((skipped + 1))
}

fail() {
    say "FAILED: $*"
    failed=$((failed + 1))
}

# build NAME COMPILER MESON-OPTIONS...: configure and compile $root/NAME; a failure is one.
build() {
    name=$1 compiler=$2
    shift 2
    say "building $root/$name"
    if (export CC="$compiler" && configure "$root/$name" "$@") && compile "$root/$name"; then
        return 0
    fi
    fail "building $name"
    return 1
}

# run LABEL FOLDER MESON-TEST-ARGUMENTS...: run tests of a build folder and add up its log.
run() {
    label=$1 folder=$root/$2
    shift 2
    began=$(date +%s)
    rm -f "$folder"/meson-logs/"$label"*.json
    meson test -C "$folder" --no-rebuild --logbase "$label-log" "$@" >"$folder/$label.out" 2>&1
    status=$?
    # meson may add the set-up's name to the log's.
    if ! python3 tools/testlog.py "$folder"/meson-logs/"$label"-log*.json >"$folder/$label.sum"; then
        cat "$folder/$label.out"
        fail "$label: no log of its tests"
        return
    fi
    sed '$d' "$folder/$label.sum"
    # shellcheck disable=SC2046 # three numbers
    set -- $(tail -n 1 "$folder/$label.sum")
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
    say "$label: $1 ok, $2 bad, $3 skipped, $(($(date +%s) - began)) s"
    if [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; then
        fail "$label: meson test ended with status $status"
    fi
}

# The level that the library really uses when it is asked for one; for "" the best that there is.
level_in_use() {
    MTL_CPU=$1 python3 - "$root/gcc/lib/libmtl.so" <<'END'
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.mtl_cpu_level.restype = ctypes.c_char_p
print(library.mtl_cpu_level(None).decode())
END
}

# The kernel tests see to every level by themselves, whatever MTL_CPU says. All tests have run at one
# level already.
run_levels() {
    used=$(level_in_use "${MTL_CPU:-}")
    case $(uname -m) in
        x86_64) levels="c avx2 avx512" ;;
        *) levels=c ;;
    esac
    for level in $levels; do
        if [ "$level" = "$used" ]; then
            continue
        elif [ "$(level_in_use "$level")" = "$level" ]; then
            run "gcc-$level" gcc --setup "$level" --suite unit --suite ffi
        else
            skip "MTL_CPU=$level: not on this processor"
        fi
    done
}

run_asan() {
    build asan gcc --buildtype=debugoptimized -Db_sanitize=address,undefined \
        -Dc_args=-fno-sanitize-recover=all -Dexamples=false || return
    run asan asan --setup sanitizer --suite unit --suite fuzz
}

# gcc 12's thread sanitizer cannot live with much address-space randomisation.
tsan_wrapper() {
    probe=$root/tsan_probe
    echo 'int main(void) { return 0; }' >"$probe.c"
    gcc -fsanitize=thread "$probe.c" -o "$probe" 2>/dev/null || return 1
    for wrapper in "env" "setarch -R"; do
        if $wrapper "$probe" >/dev/null 2>&1; then
            echo "$wrapper"
            return 0
        fi
    done
    return 1
}

run_tsan() {
    if ! wrapper=$(tsan_wrapper); then
        skip "thread sanitizer: its programs do not run here"
        return
    fi
    build tsan gcc --buildtype=debugoptimized -Db_sanitize=thread || return
    run tsan tsan --setup sanitizer --wrapper "$wrapper" predict_threads thread api_threads
}

mkdir -p "$root"
install_packages gcc libc6-dev meson ninja-build pkg-config python3 check clang \
    libblis-serial-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
if need_tools gcc meson ninja python3; then
    if build gcc gcc --buildtype=release; then
        run gcc gcc
        run_levels
    fi
    if ! have clang; then
        skip "clang: not installed"
    elif build clang clang --buildtype=release; then
        run clang clang
    fi
    run_asan
    run_tsan
else
    skip "everything"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

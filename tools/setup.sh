# SPDX-License-Identifier: MIT
# Sourced by examples/run.sh and tests/run.sh: find the tools, install what is missing.
# shellcheck shell=sh

say() { printf '%s\n' "-- $*"; }

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        say "not root and no sudo: cannot run $*"
        return 1
    fi
}

# Debian packages of the list that are not installed.
missing_packages() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s ' "$package"
    done
}

apt_get() {
    output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q "$@" 2>&1) || {
        printf '%s\n' "$output" | tail -n 5
        return 1
    }
}

# install_packages PACKAGE...: on Debian and its kin, install what is missing. One that cannot be had
# is left out: whoever needs it looks for the tool itself and says so.
install_packages() {
    if ! have apt-get || ! have dpkg-query; then
        say "not a Debian system: please see to the equivalents of: $*"
        return 0
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    say "installing $missing"
    apt_get update || say "trying with the package lists there are"
    # shellcheck disable=SC2086 # a list of words
    apt_get install --no-install-recommends $missing && return 0
    for package in $missing; do
        apt_get install --no-install-recommends "$package" ||
            say "$package could not be installed"
    done
}

# need_tools COMMAND...: whether all are there; names those that are not.
need_tools() {
    absent=
    for tool in "$@"; do
        have "$tool" || absent="$absent $tool"
    done
    [ -z "$absent" ] || say "missing:$absent"
    [ -z "$absent" ]
}

# configure FOLDER MESON-ARGUMENTS...: a fresh build folder, or the one that is there if its set-up
# still works.
configure() {
    folder=$1
    shift
    if [ -f "$folder/build.ninja" ] && meson setup --reconfigure "$folder" "$@" >"$folder.log" 2>&1; then
        return 0
    fi
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    meson setup "$folder" "$@" >"$folder.log" 2>&1 || {
        cat "$folder.log"
        return 1
    }
}

# compile FOLDER: quiet when all goes well.
compile() {
    ninja -C "$1" >"$1.log" 2>&1 || {
        cat "$1.log"
        return 1
    }
}

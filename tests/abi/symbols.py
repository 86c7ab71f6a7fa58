#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the libraries export, import and need.

The map, the header and the shared library name the same functions; nothing but mtl_* leaves
either library; nothing that prints, ends the process or follows the locale comes in.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

NEEDED = {'libc.so.6', 'libpthread.so.0', 'ld-linux-x86-64.so.2',
          'ld-linux-aarch64.so.1'}

# Each group with the reason why a host would suffer from it.
BANNED = {
    'ends the host': 'exit _exit _Exit quick_exit abort raise kill longjmp _longjmp siglongjmp',
    'prints': 'printf fprintf dprintf puts fputs putc fputc putchar fputc_unlocked fwrite vprintf '
              'vfprintf vdprintf perror psignal __printf_chk __fprintf_chk __vprintf_chk '
              '__vfprintf_chk __dprintf_chk __vdprintf_chk stdout stderr',
    'follows or sets the locale': 'setlocale uselocale newlocale localeconv strtod strtof strtold '
                                  'atof strtod_l tolower toupper strcasecmp strncasecmp strcoll '
                                  'isspace isdigit isalpha __ctype_b_loc __ctype_tolower_loc '
                                  '__ctype_toupper_loc sscanf fscanf scanf __isoc99_sscanf '
                                  '__isoc99_fscanf __isoc99_scanf',
    'has state of its own': 'rand srand rand_r random srandom drand48 lrand48 srand48 strtok '
                            'strerror localtime gmtime ctime',
    'changes the process': 'signal sigaction sigprocmask chdir fchdir umask system popen setenv '
                           'putenv unsetenv tmpnam mktemp fesetround fesetenv feenableexcept',
    'reads the environment unguarded': 'getenv',
    'gives other bits on other systems': ' '.join(
        f + suffix for suffix in ('', 'f') for f in (
            'exp exp2 exp10 expm1 log log2 log10 log1p pow tanh sinh cosh sin cos tan asin acos '
            'atan atan2 erf erfc lgamma tgamma cbrt hypot').split()),
}
ASSERTION = '__assert_fail'
# Memory comes from one object file.
ALLOCATION = {'malloc', 'calloc', 'realloc', 'free', 'posix_memalign', 'aligned_alloc', 'strdup',
              'reallocarray', 'memalign'}
ALLOCATION_HOME = re.compile(r'mem_[a-z0-9_]+\.c\.o$')

problems = []


def problem(text):
    problems.append(text)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare(name_a, a, name_b, b):
    for name in sorted(a - b):
        problem(f'{name}: in {name_a}, not in {name_b}')
    for name in sorted(b - a):
        problem(f'{name}: in {name_b}, not in {name_a}')


def without_comments(text):
    return re.sub(r'//[^\n]*', ' ', re.sub(r'/\*.*?\*/|#[^\n]*', ' ', text, flags=re.S))


def header_functions(path):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    text = re.sub(r'^\s*#.*$', ' ', text, flags=re.M)
    declared = re.findall(r'\bMTL_API\b[^;(]*?\b(\w+)\s*\(', text)
    for name in sorted({n for n in declared if declared.count(n) > 1}):
        problem(f'{name}: declared twice in the header')
    bare = set(re.findall(r'^\s*(?!typedef\b|MTL_API\b)[\w *]+?\b(mtl_\w+)\s*\([^;{]*\)\s*;', text,
                          re.M))
    for name in sorted(bare - set(declared)):
        problem(f'{name}: declared without MTL_API')
    return set(declared)


def map_functions(path):
    """{function: node}; every node but the first must continue an earlier one."""
    with open(path, encoding='utf-8') as f:
        text = without_comments(f.read())
    found, nodes = {}, []
    for name, body, parent in re.findall(r'(\w[\w.]*)\s*\{(.*?)\}\s*([\w.]*)\s*;', text, re.S):
        if nodes and parent not in nodes:
            problem(f'map: node {name} continues no earlier node')
        nodes.append(name)
        shown = re.search(r'global\s*:(.*?)(local\s*:|$)', body, re.S)
        for symbol in re.findall(r'[^;\s]+', shown.group(1) if shown else ''):
            if '*' in symbol:
                problem(f'map: {symbol}: names must be written out')
            elif symbol in found:
                problem(f'map: {symbol}: in {found[symbol]} and in {name}')
            else:
                found[symbol] = name
    if not re.search(r'local\s*:\s*\*\s*;', text):
        problem('map: no "local: *;"')
    return found


def shared_exports(path, known):
    names = set()
    for line in run('nm', '-D', '--defined-only', '--with-symbol-versions', path).splitlines():
        kind, symbol = line.split()[-2:]
        name, _, node = symbol.partition('@@')
        if kind == 'A' and symbol in known.values():
            continue  # the node itself
        if not name.startswith('mtl_') or name.startswith('mtl__'):
            problem(f'{path}: exports {symbol}')
        elif kind not in 'TW':
            problem(f'{path}: exports {name} of kind {kind}: only functions may be exported')
        elif known.get(name) != node:
            problem(f'{path}: {symbol}: version node should be {known.get(name)}')
        names.add(name)
    return names


def static_exports(path):
    for line in run('nm', '-g', '--defined-only', '-A', path).splitlines():
        name = line.split()[-1]
        if not name.startswith('mtl_'):
            problem(f'{path}: defines {line}')


def undefined(*args):
    for line in run('nm', '-A', '-u', *args).splitlines():
        place, _, name = line.rpartition(' ')
        yield place.rsplit(':', 1)[0] if ':' in place else place, name.split('@')[0]


def check_imports(shared, static, with_assertions):
    reason = {name: why for why, names in BANNED.items() for name in names.split()}
    if not with_assertions:
        reason[ASSERTION] = 'ends the host'
    for place, name in list(undefined('-D', shared)) + list(undefined(static)):
        if name in reason:
            problem(f'{place}: imports {name}, which {reason[name]}')
    for place, name in undefined(static):
        if name in ALLOCATION and not ALLOCATION_HOME.search(place):
            problem(f'{place}: calls {name}: memory comes from mem/ alone')


def check_dynamic(shared, soname):
    text = run('readelf', '-d', '-W', shared)
    for needed in re.findall(r'\(NEEDED\).*\[(.*)\]', text):
        if needed not in NEEDED:
            problem(f'{shared}: needs {needed}')
    found = re.findall(r'\(SONAME\).*\[(.*)\]', text)
    if found != [soname]:
        problem(f'{shared}: soname is {found}, not {soname}')
    if '(TEXTREL)' in text or re.search(r'\((RPATH|RUNPATH)\)', text):
        problem(f'{shared}: text relocations or a run path')
    if re.search(r'GNU_STACK\s.*RWE', run('readelf', '-l', '-W', shared)):
        problem(f'{shared}: asks for an executable stack')


def check_size(shared, limit):
    strip = shutil.which('strip')
    with tempfile.TemporaryDirectory() as folder:
        stripped = os.path.join(folder, 'stripped.so')
        run(strip, '--strip-unneeded', '-o', stripped, shared)
        size = os.path.getsize(stripped)
    print(f'stripped: {size} bytes')
    if size >= limit:
        problem(f'{shared}: {size} bytes stripped, the limit is {limit}')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('--map', '--header', '--shared', '--static', '--soname'):
        parser.add_argument(name, required=True)
    parser.add_argument('--limit', type=int, required=True, help='bytes, stripped')
    parser.add_argument('--assertions', action='store_true')
    args = parser.parse_args()
    known = map_functions(args.map)
    declared = header_functions(args.header)
    compare('the header', declared, 'the map', set(known))
    compare('the map', set(known), args.shared, shared_exports(args.shared, known))
    static_exports(args.static)
    check_imports(args.shared, args.static, args.assertions)
    check_dynamic(args.shared, args.soname)
    check_size(args.shared, args.limit)
    print('\n'.join(problems) or f'{len(known)} functions in header, map and libraries')
    return 1 if problems or not known else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold the #include lines of lib/ against the layer table in docs/architecture.md.

The table is the first one with the columns layer, folder and may include. In the last column
"everything" stands for all folders, and "and its row" (or "their rows") adds what the folders named
there may include.
"""

import argparse
import collections
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
WORDS = re.compile(r'[a-z0-9_]+')
FOR_PEOPLE = {'and', 'its', 'their', 'row', 'rows'}

Row = collections.namedtuple('Row', 'layer folder allowed')


def cells(line):
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


def find_table(text):
    """Lines below the header of the layer table, and the numbers of the columns we read."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        names = [cell.lower() for cell in cells(line)]
        if {'layer', 'folder', 'may include'} <= set(names):
            columns = [names.index(n) for n in ('layer', 'folder', 'may include')]
            return lines[number + 2:], columns
    raise SystemExit('docs/architecture.md: no table | layer | folder | holds | may include |')


def read_table(text):
    lines, (layer, folder, allowed) = find_table(text)
    raw = []
    for line in lines:
        if not line.strip().startswith('|'):
            break
        row = cells(line)
        raw += [(int(row[layer]), name, row[allowed]) for name in WORDS.findall(row[folder])]
    layer_of = {name: number for number, name, _ in raw}
    rows = {}
    for number, name, text in sorted(raw):  # rows below come first
        words = WORDS.findall(text)
        may = {name}
        for word in words:
            if word == 'everything':
                may |= set(layer_of)
            elif word in layer_of:
                may.add(word)
            elif word not in FOR_PEOPLE:
                raise SystemExit(f'layer table: row {name}: "{word}" is no folder of the table')
        if 'row' in words or 'rows' in words:
            for other in sorted(may - {name}):
                if other not in rows:
                    raise SystemExit(f'layer table: row {name}: {other} stands in no row below it')
                may |= rows[other].allowed
        rows[name] = Row(number, name, may)
    return rows


def check_table(rows, lib):
    folders = {p.name for p in lib.iterdir() if p.is_dir()}
    for name in sorted(folders - set(rows)):
        yield f'lib/{name}: not in the layer table'
    for name in sorted(set(rows) - folders):
        yield f'layer table: no folder lib/{name}'
    for row in rows.values():
        for other in sorted(row.allowed - {row.folder}):
            if rows[other].layer > row.layer:
                yield f'layer table: {row.folder} (layer {row.layer}) may not include {other} ' \
                      f'(layer {rows[other].layer}), which stands above it'


def check_cycles(rows):
    """Folders of one layer may name each other, but not in a circle."""
    done, path = set(), []

    def visit(name):
        if name in path:
            yield 'layer table: a circle: ' + ' -> '.join(path[path.index(name):] + [name])
        elif name not in done:
            path.append(name)
            for other in sorted(rows[name].allowed - {name}):
                yield from visit(other)
            path.pop()
            done.add(name)

    for name in rows:
        yield from visit(name)


def check_include(rows, lib, path, folder, kind, target):
    if '..' in target.split('/'):
        yield 'a path with ..'
    elif kind == '<':
        if target.startswith('mtl/') and target not in ('mtl/mtl.h', 'mtl/version.h'):
            yield 'no such public header'
    elif '/' not in target:
        yield 'internal headers are named from lib/: "folder/file.h"'
    elif not (lib / target).is_file():
        yield 'there is no such file in lib/'
    else:
        other = target.split('/')[0]
        if other not in rows[folder].allowed:
            yield f'{folder} may not include {other}'
        elif target.endswith('_priv.h') and other != folder:
            yield f'a private header of {other}'


def check_file(rows, lib, path):
    inside = path.relative_to(lib)
    folder = inside.parts[0]
    if folder not in rows:
        return
    found = INCLUDE.findall(path.read_text(encoding='utf-8'))
    own = inside.with_suffix('.h')
    if path.suffix == '.c' and (lib / own).is_file() and (not found or found[0] != ('"', str(own))):
        yield f'lib/{inside}: its own header "{own}" must come first'
    for kind, target in found:
        for problem in check_include(rows, lib, path, folder, kind, target):
            yield f'lib/{inside}: {target}: {problem}'


def check_names(root):
    """A stack trace names a file without its folder."""
    seen = collections.defaultdict(list)
    for top in ('lib', 'include', 'tests'):
        for path in (root / top).rglob('*'):
            if path.suffix in ('.c', '.h'):
                seen[path.name].append(str(path.relative_to(root)))
    for name in sorted(seen):
        if len(seen[name]) > 1:
            yield f'{name}: more than one file of that name: ' + ', '.join(sorted(seen[name]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=pathlib.Path, required=True)
    root = parser.parse_args().root
    lib = root / 'lib'
    rows = read_table((root / 'docs' / 'architecture.md').read_text(encoding='utf-8'))
    files = sorted(p for p in lib.rglob('*') if p.suffix in ('.c', '.h'))
    problems = list(check_table(rows, lib)) + list(check_cycles(rows)) + list(check_names(root))
    for path in files:
        problems += check_file(rows, lib, path)
    print('\n'.join(problems) or f'{len(files)} files in {len(rows)} folders keep to the table')
    return 1 if problems or not files else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: the deterministic lab, QEMU, tables, bars, and files of docs/bench."""
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
LAB = f'{TOP}/tools/lab'
QEMU = '/usr/bin/qemu-system-x86_64'
TRIES = 4  # a deterministic lab hangs now and then (docs/lab.md)
HIT_LIMIT = 124


def lab(title, limit_s, options, command, output=False):
    """Runs a command in the deterministic lab; its standard output if asked for."""
    for _ in range(TRIES):
        done = subprocess.run([LAB, '--deterministic', '--timeout', str(limit_s), *options, '--', *command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if output else None,
                              check=False)
        if done.returncode != HIT_LIMIT:
            break
        print(f'bench: {title}: the lab hangs, once more', file=sys.stderr, flush=True)
    if done.returncode:
        sys.exit(f'bench: {title}: the lab ended with status {done.returncode}')
    return done.stdout.decode() if output else ''


def qemu_version():
    return subprocess.run([QEMU, '--version'], capture_output=True, text=True,
                          check=False).stdout.split('\n')[0]


def table(head, rows):
    """Markdown; the first column is words, the others are numbers."""
    lines = [f'| {head[0]}'.rstrip() + ' | ' + ' | '.join(head[1:]) + ' |', '|---|' + '---:|' * (len(head) - 1)]
    return '\n'.join(lines + ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows])


def bars(title, rows, remark, left=190):
    """SVG. rows: (label, [(value, colour)] with the longest first, text at the end)."""
    width, bar, gap = 720, 26, 14
    scale = (width - left - 90) / max(parts[0][0] for _, parts, _ in rows)
    height = 64 + (bar + gap) * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           'font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="12" y="22" font-size="15">{title}</text>']
    y = 40
    for label, parts, text in rows:
        out.append(f'<text x="{left - 8}" y="{y + 18}" text-anchor="end">{label}</text>')
        out += [f'<rect x="{left}" y="{y}" width="{value * scale:.1f}" height="{bar}" fill="{colour}"/>'
                for value, colour in parts]
        out.append(f'<text x="{left + parts[0][0] * scale + 6:.1f}" y="{y + 18}">{text}</text>')
        y += bar + gap
    out += [f'<text x="{left}" y="{y + 10}" fill="#555">{remark}</text>', '</svg>']
    return '\n'.join(out) + '\n'


def write_docs(folder, name, results, svg, text):
    os.makedirs(folder, exist_ok=True)
    with open(f'{folder}/{name}.json', 'w') as f:
        json.dump(results, f, indent=2)
        f.write('\n')
    for suffix, content in (('svg', svg), ('md', text)):
        with open(f'{folder}/{name}.{suffix}', 'w') as f:
            f.write(content)

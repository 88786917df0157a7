#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in the lab: disk_inside.py MODULES values|marks COMMAND... makes /dev/nullb0, a disk in memory,
and runs a monitor on it whose guest runs disk_load. Prints as JSON what the guest's time-stamp counter
says, or the host's counters at each mark, which tracing makes dearer.
"""
import json
import os
import re
import subprocess
import sys

NULLB = '/sys/kernel/config/nullb/nullb0'
TRACING = '/sys/kernel/tracing/events'
EVENTS = {'exits': ('kvm/kvm_exit', 'exit_reason'), 'userspace': ('kvm/kvm_userspace_exit', 'reason'),
          'interrupts': ('kvm/kvm_msi_set_irq', 'data'),
          'syscalls': ('raw_syscalls/sys_enter', 'common_pid,id.syscall')}


def put(path, text):
    with open(path, 'w') as f:
        f.write(text)


def make_disk(modules):
    for words in (['fs/configfs/configfs.ko'], ['drivers/block/null_blk/null_blk.ko', 'nr_devices=0']):
        subprocess.run(['insmod', f'{modules}/kernel/{words[0]}', *words[1:]], check=True)
    if not os.path.isdir(os.path.dirname(NULLB)):
        subprocess.run(['mount', '-t', 'configfs', 'configfs', '/sys/kernel/config'], check=True)
    os.mkdir(NULLB)
    for name, value in (('memory_backed', 1), ('size', 256), ('blocksize', 512), ('power', 1)):
        put(f'{NULLB}/{name}', str(value))


def count(pid):
    """Hits so far of each event, by reason or name; of system calls those of the process."""
    threads = set(os.listdir(f'/proc/{pid}/task'))
    result = {}
    for name, (event, _) in EVENTS.items():
        hits = result[name] = {}
        with open(f'{TRACING}/{event}/hist') as f:
            for line in f:
                found = re.match(r'\{ (.*?) \} hitcount: +(\d+)', line)
                fields = re.findall(r': +([^,}]+)', found[1]) if found else []
                if not found or (name == 'syscalls' and fields[0].strip() not in threads):
                    continue
                key = re.sub(r' *\[.*', '', fields[-1].strip())
                hits[key] = hits.get(key, 0) + int(found[2])
    return result


def run(command, what):
    """By load: [count, cycles] of each run, or the counters at each mark."""
    found_of = {}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                               errors='replace')
    done = False
    for line in process.stdout:
        found = re.match(r'(value|mark) (\S+) (\d+)(?: (\d+))?', line)
        if found and found[1] + 's' == what:
            entry = [int(found[3]), int(found[4])] if what == 'values' else count(process.pid)
            found_of.setdefault(found[2], []).append(entry)
        done = done or line.startswith('disk_load: done')
    if process.wait() or not done:
        sys.exit(f'disk_inside: the guest failed, status {process.returncode}')
    return found_of


def main():
    modules, what, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    make_disk(modules)
    if what == 'marks':
        for event, keys in EVENTS.values():
            put(f'{TRACING}/{event}/trigger', f'hist:keys={keys}:size=4096')
    print(json.dumps(run(command, what)))


if __name__ == '__main__':
    main()

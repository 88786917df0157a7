#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Runs in the lab: net_inside.py TUN LOAD OUT COMMAND... makes tap0, serves net_load on port 8000,
starts a monitor whose guest drives it, and reads the lab's counters at each of its marks: time that
was not idle, which is instructions there, and KVM's exits.
"""
import json
import re
import subprocess
import sys

KVM = '/sys/kernel/debug/kvm'


def busy():
    with open('/proc/timer_list') as f:
        text = f.read()
    now = int(re.search(r'^now at (\d+)', text, re.M)[1])
    idle = re.findall(r'\.idle_sleeptime\s*:\s*(\d+)', text)
    return now * len(idle) - sum(map(int, idle))


def stat(name):
    with open(f'{KVM}/{name}') as f:
        return int(f.read())


def count():
    return {'busy': busy(), 'exits': stat('exits'),
            'userspace': stat('mmio_exits') + stat('io_exits'), 'interrupts': stat('irq_exits')}


def main():
    tun, load, out, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    for words in (['insmod', tun], ['ip', 'tuntap', 'add', 'tap0', 'mode', 'tap', 'vnet_hdr'],
                  ['ip', 'addr', 'add', '10.9.0.1/24', 'dev', 'tap0'],
                  ['ip', 'link', 'set', 'tap0', 'up']):
        subprocess.run(words, check=True)
    subprocess.run(['mount', '-t', 'debugfs', 'debugfs', '/sys/kernel/debug'], check=False,
                   stderr=subprocess.DEVNULL)
    server = subprocess.Popen([load, 'serve', '8000'], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                               errors='replace')
    marks = {}
    for line in process.stdout:
        print(line.rstrip(), flush=True)
        found = re.match(r'mark (\S+) (\d)', line)
        if found:
            marks.setdefault(found[1], []).append(count())
    status = process.wait()
    server.kill()
    with open(out, 'w') as f:
        json.dump(marks, f)
    sys.exit(status)


if __name__ == '__main__':
    main()

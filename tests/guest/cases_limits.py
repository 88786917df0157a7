# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run costs, and what happens where the host has little."""
import os
import re
import resource
import time

from harness import Settings, Skip, case, expect, wait_until
from cases_reports import steady_cost

MIB = 1 << 20


def memory_of(pid):
    """Resident KiB: (all, of them in guest RAM, dirty outside of it)."""
    total = guest = dirty = 0
    with open(f'/proc/{pid}/smaps', encoding='ascii') as f:
        large = False
        for line in f:
            head = re.match(r'([0-9a-f]+)-([0-9a-f]+) ', line)
            if head:
                large = int(head[2], 16) - int(head[1], 16) >= 32 * MIB
            elif line.startswith('Rss:'):
                total += int(line.split()[1])
                guest += int(line.split()[1]) if large else 0
            elif line.startswith('Private_Dirty:') and not large:
                dirty += int(line.split()[1])
    return total, guest, dirty


def outside(room, *options):
    """KiB resident and dirty outside the guest's RAM once the guest waits."""
    run = room.start('button', *options)
    run.wait_output('waiting for the button')
    total, guest, dirty = memory_of(run.pid)
    run.signal(15)
    run.finish().expect_status(0)
    return total - guest, dirty


@case('cost: memory outside the guest\'s RAM', alone=True)
def resident(room):
    if Settings.sanitized:
        raise Skip('sanitizers need memory of their own')
    total, dirty = outside(room)
    print(f'# outside guest RAM: {total} KiB resident, {dirty} KiB dirty (64 MiB, 1 vCPU)')
    large, large_dirty = outside(room, '-m', '16G')
    print(f'# outside guest RAM: {large} KiB resident, {large_dirty} KiB dirty (16 GiB, 1 vCPU)')
    expect(total < 4096, f'{total} KiB are resident, 4 MiB are the limit')
    expect(dirty < 614, f'{dirty} KiB are dirty, 0.6 MiB are the limit')
    expect(large < total + 512, f'a large guest costs {large} KiB instead of {total}')


@case('cost: memory that the guest never touched is free', alone=True)
def untouched(room):
    run = room.start('hello; button', '-m', '64G')
    run.finish_error = run.process.poll()
    try:
        run.wait_output('waiting for the button')
    except Exception:
        run.finish()
        if run.status in (69, 71) and '--memory' in run.err:
            raise Skip(run.err.strip()) from None
        raise
    total, guest, _ = memory_of(run.pid)
    print(f'# 64 GiB guest: {total} KiB resident, {guest} KiB of them RAM')
    run.signal(15)
    run.finish().expect_status(0)
    limit = 16 * 1024 if not Settings.sanitized else 256 * 1024
    expect(guest < limit, f'{guest} KiB of RAM are resident')


@case('cost: memory that the guest touched is given back at a reset', alone=True)
def given_back(room):
    run = room.start('touch 128; reboot-count 1; button', '-m', '256M')
    run.wait_output('touched MiB: 128')
    run.wait_output('rebooted 1 times')
    run.wait_output('waiting for the button')
    _, guest, _ = memory_of(run.pid)
    run.signal(15)
    run.finish().expect_status(0)
    # Touched again after the reset: once 128 MiB, never twice.
    expect(guest < 160 * 1024, f'{guest} KiB of RAM are resident')


@case('cost: a guest that sleeps costs no processor time', alone=True)
def asleep(room):
    run = room.start('sleep', '-c', '2')
    run.wait_output('sleeping')
    time.sleep(1)

    def ticks():
        with open(f'/proc/{run.pid}/stat', encoding='ascii') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(3)
    used = ticks() - before
    run.kill()
    expect(used <= 0.03 * 3 * os.sysconf('SC_CLK_TCK'), f'{used} ticks in 3 s')


@case('cost: nothing grows while a guest floods', alone=True)
def flooding(room):
    run = room.start('flood 2000000', '--serial', 'null', '-v')
    time.sleep(1)
    first = steady_cost(run.pid)
    time.sleep(2)
    last = steady_cost(run.pid)
    run.kill()
    expect(last[0] == first[0] and last[2] == first[2] and last[1] - first[1] < 2048,
           f'(descriptors, KiB, threads) went from {first} to {last}')


@case('limit: descriptors from 3 up: refused with a line, or well')
def descriptors(room):
    well = 0
    for limit in [*range(3, 40), 48, 64]:
        run = room.run('hello', '-c', '2', '--serial', 'unix:com1', '--report', 'report',
                       preexec_fn=lambda n=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)))
        if run.status == 0:
            well += 1
            continue
        # The dynamic linker needs descriptors itself and has its own status.
        if run.status == 127 or 'error while loading' in run.err:
            continue
        expect(not well, f'{limit} descriptors are too few, and fewer were enough')
        run.expect_status(69, 71, 73).expect_line()
        expect(not [f for f in room.files() if 'com1' in f], f'left behind: {room.files()}')
    expect(well, '64 descriptors are too few')


@case('limit: threads: refused with a line')
def threads(room):
    if os.getuid() == 0:
        raise Skip('the limit does not bind root')
    run = room.run('hello', '-c', '8', preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NPROC, (1, 1)))
    run.expect_status(71).expect_line()


@case('limit: address space: refused with a line')
def address_space(room):
    if Settings.sanitized:
        raise Skip('sanitizers need the address space')
    for limit in (64, 128, 256, 500):
        run = room.run('hello', '-m', '1G', preexec_fn=lambda n=limit: resource.setrlimit(
            resource.RLIMIT_AS, (n * MIB, n * MIB)))
        run.expect_status(71).expect_line('memory')


@case('limit: file size: the guest goes on')
def file_size(room):
    run = room.run('flood 2000; exit 5', '--exit-port', '--serial', 'file:com1',
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    run.expect_status(11)


@case('limit: no process of ours is left', alone=True)
def processes(room):
    run = room.start('spin', '-c', '4', '--serial', 'pty')
    run.err_reader.wait_for(b'/dev/pts')
    group = [e for e in os.listdir('/proc') if e.isdigit() and parent(e) == run.pid]
    expect(not group, f'the monitor has children: {group}')
    run.signal(3)
    run.finish().expect_status(131)
    wait_until(lambda: not os.path.exists(f'/proc/{run.pid}'), 'the process is gone')


def parent(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return int(f.read().rsplit(')', 1)[1].split()[1])
    except OSError:
        return -1

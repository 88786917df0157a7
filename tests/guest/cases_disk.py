# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest writes to its disk, the monitor is killed, and the image is asked what it holds.

LODGE_GUEST_KILLS: cycles of each case, 3 by default.

In every cache mode a write that was done survives SIGKILL. The guest (disk.c) tells on COM1 up to
which number its writes are done; each sector holds the number of the write that it got last. So
each sector must hold what it held before or a later write's; nothing older than what was told,
nothing torn, nothing foreign. The image is read by qemu-img, and checked by it.
"""
import os
import random
import subprocess
import time

from harness import Failure, Settings, Skip, case, table, wait_until

SECTORS, REGIONS, LONGEST, LONGEST_ZEROES = 8192, 16, 16, 64
REGION = SECTORS // REGIONS
SIZE = SECTORS * 512
CYCLES = int(os.environ.get('LODGE_GUEST_KILLS', '3'))
RENEW = 8     # cycles that one image lives
AHEAD = 2000  # writes that the guest may be ahead of its words: they die with the monitor

SETUPS = [(f'{name} {cache} {aio}', name, options, cache, aio) for name, options, cache, aio in (
    ('qcow2', 'cluster_size=64k', 'writeback', 'auto'),
    ('qcow2', 'cluster_size=4k', 'none', 'io_uring'),
    ('raw', None, 'writeback', 'io_uring'),
    ('qcow2', 'cluster_size=512', 'writeback', 'threads'),
    ('qcow2', 'extended_l2=on', 'writethrough', 'io_uring'),
    ('raw', None, 'none', 'libaio'),
    ('qcow2', 'cluster_size=64k', 'directsync', 'libaio'),
    ('qcow2', 'compat=0.10', 'unsafe', 'threads'),
    ('raw on a loop device', None, 'none', 'io_uring'),
    ('qcow2 over a base', 'cluster_size=16k', 'writeback', 'io_uring'),
    ('qcow2 with a snapshot', 'cluster_size=4k,lazy_refcounts=on', 'none', 'io_uring'),
)]


def shell(room, command):
    done = subprocess.run(command, shell=True, cwd=room.folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Failure(f'{command}: status {done.returncode}: {done.stdout[-600:]}')


def mix(x):
    x = (x ^ x >> 16) * 0x7feb352d & 0xffffffff
    x = (x ^ x >> 15) * 0x846ca68b & 0xffffffff
    return x ^ x >> 16


def write_of(number, seed):
    """(first sector, sectors, whether zeroes), as disk.c has them."""
    a = mix(number * 2 + seed & 0xffffffff)
    zeroes = a % 8 == 0
    count = 1 + (a >> 4) % (LONGEST_ZEROES if zeroes else LONGEST)
    return number % REGIONS * REGION + mix(a) % (REGION - count), count, zeroes


def is_whole(piece):
    return piece[:8] == piece[504:] and not any(piece[8:504])


class Disk:
    """An image, and for each sector what must be there: the number of a write, 0 for zeroes."""

    def __init__(self, room, name, options, seed):
        self.room, self.name, self.options, self.seed = room, name, options, seed
        self.next, self.told, self.flushes, self.cycles = 1, 0, 0, 0
        self.held = [0] * SECTORS
        self.raw, self.device = name.startswith('raw'), None
        self.make()

    def attach(self):
        self.detach()
        done = subprocess.run(['losetup', '--find', '--show', 'disk'], cwd=self.room.folder,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode:
            raise Skip('no loop device can be had')
        self.device = done.stdout.strip()
        shell(self.room, f'mv disk file; ln -s {self.device} disk')

    def detach(self):
        if self.device:
            subprocess.run(['losetup', '-d', self.device], check=False)
        self.device = None

    def make(self):
        room, size = self.room, SIZE
        self.held = [0] * SECTORS
        if self.raw:
            shell(room, f'rm -f disk; truncate -s {size} disk')
            if 'loop' in self.name:
                self.attach()
            return
        base = '-b base -F raw' if 'base' in self.name else ''
        shell(room, f'rm -f disk; truncate -s {size} base; '
                    f'qemu-img create -q -f qcow2 -o {self.options} {base} disk {size}')
        if 'snapshot' in self.name:
            shell(room, "qemu-io -f qcow2 -c 'write -q -z 0 2M' -c 'write -q -P 0 2M 1M' disk; "
                        'qemu-img snapshot -c one disk')

    def options_of_run(self, cache, aio):
        backing = ',backing=base' if 'base' in self.name else ''
        kind = 'raw' if self.raw else 'qcow2'
        return ['-n', 'none', '-d', f'disk,format={kind},cache={cache},aio={aio}{backing}']

    def content(self):
        """By qemu-img, which is not let in before the host has taken all back from the dead."""
        kind = 'raw' if self.raw else 'qcow2'
        wait_until(lambda: subprocess.call(
            ['qemu-img', 'convert', '-f', kind, '-O', 'raw', 'disk', 'content'],
            cwd=self.room.folder, stderr=subprocess.DEVNULL) == 0, 'qemu-img reads the image')
        with open(self.room.path('content'), 'rb') as f:
            return f.read()

    def check(self, output):
        """Compares the image with what the guest said that it had done."""
        done = self.next - 1
        for line in output.split('\n')[:-1]:
            if line[:2] == 'd ':
                self.told += int(line[2:]) - done
                done = int(line[2:])
            elif line[:2] == 'f ':
                self.flushes += 1
        must, zeroed, newest = list(self.held), {}, done
        for number in range(self.next, done + 1):
            first, count, zeroes = write_of(number, self.seed)
            must[first:first + count] = [0 if zeroes else number] * count
        for number in range(done + 1, done + AHEAD):
            first, count, zeroes = write_of(number, self.seed)
            if zeroes:
                for sector in range(first, first + count):
                    zeroed.setdefault(sector, number)
        data = self.content()
        for sector in range(SECTORS):
            piece = data[sector * 512:sector * 512 + 512]
            number = int.from_bytes(piece[:4], 'little')
            self.held[sector] = number
            newest = max(newest, number)
            if number == must[sector] and is_whole(piece):
                if not number or int.from_bytes(piece[4:8], 'little') == sector:
                    continue
            self.judge(sector, piece, number, done, must[sector], sector in zeroed)
        self.next = newest + AHEAD

    def judge(self, sector, piece, number, done, must, zeroed):
        """A sector that does not hold what was told last."""
        what = f'sector {sector} holds write {number}; {must} was done, all up to {done} were'
        if not is_whole(piece) or (number and int.from_bytes(piece[4:8], 'little') != sector):
            raise Failure(f'{what}: it is torn, or another\'s')
        if number == 0 and not any(piece) and zeroed:
            return
        first, count, zeroes = write_of(number, self.seed)
        if not done < number < done + AHEAD or zeroes or not first <= sector < first + count:
            raise Failure(what)


def wait_lines(run, count):
    reader, end = run.out_reader, time.monotonic() + Settings.limit
    with reader.changed:
        while reader.data.count(b'\n') < count:
            if reader.ended or time.monotonic() > end:
                raise Failure(f'{count} lines did not come')
            reader.changed.wait(1)


def kill_once(room, disk, cache, aio, rng):
    words = f'disk-write {disk.next} {disk.seed}'
    run = room.start(words, *disk.options_of_run(cache, aio))
    if rng.random() < 0.9:
        wait_lines(run, rng.randrange(1, 14))
        time.sleep(rng.random() * 0.004)
    else:
        time.sleep(rng.random() * 0.06)
    if run.process.poll() is not None:
        raise Failure('the run ended by itself')
    run.process.kill()
    run.process.wait()
    run.out_reader.join(20)
    run.err_reader.join(20)
    run.process.stdout.close()
    run.process.stderr.close()
    if 'failed' in run.out or 'no disk' in run.out:
        raise Failure('the guest met an error')
    disk.check(run.out)
    room.runs.remove(run)


def kill_often(room, disk, cache, aio, rng):
    for cycle in range(CYCLES):
        if cycle % RENEW == 0 and cycle:
            disk.make()
        kill_once(room, disk, cache, aio, rng)
        if not disk.raw and (cycle % 4 == 3 or cycle == CYCLES - 1):
            shell(room, 'qemu-img check -q disk; test $? = 0 -o $? = 3')
    print(f'# {disk.name} {cache} {aio}: {CYCLES} kills, {disk.told} writes and {disk.flushes} '
          'flushes were told')
    if CYCLES >= 3 and not disk.told:
        raise Failure('nothing was written')


@table('disk: killed in the midst of writing', SETUPS)
def killed(room, name, options, cache, aio):
    rng = random.Random(name + cache + aio)
    disk = Disk(room, name, options, rng.getrandbits(31))
    try:
        kill_often(room, disk, cache, aio, rng)
    finally:
        disk.detach()


@case('disk: storage that hangs does not keep a run from ending')
def hangs(room):
    shell(room, f'truncate -s {SIZE} disk')
    run = room.run('disk-once; spin', '-d', 'disk,format=raw,aio=threads', '--timeout', '2s',
                   environment=room.shim('disk stuck 0'), limit=Settings.limit)
    run.expect_status(124)
    if 'disk: storage does not answer' not in run.err:
        raise Failure(f'standard error: {run.err[:300]}')

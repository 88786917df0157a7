# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as a guest sees it: interrupts, PCI, ports, memory, processors, the boot loader."""
import os
import re
import subprocess

from harness import Settings, Skip, case, expect, table

WORDS = [
    ('20 interrupts of the PIT', 'pit', r'pit: [2-9]\d interrupts'),
    ('20 interrupts of the PIT by the I/O APIC', 'pit-ioapic', r'pit-ioapic: [2-9]\d interrupts'),
    ('20 interrupts of the RTC', 'rtc', r'rtc: [2-9]\d interrupts'),
    ('an alarm of the RTC', 'rtc-alarm', 'it rang'),
    ('all of them, one after the other', 'rtc; pit; rtc-alarm; pit; rtc', 'rtc.*pit.*rang.*pit.*rtc'),
]


@table('device', WORDS)
def word(room, words, pattern):
    room.run(words).expect_status(0).expect_silence().expect_out(pattern)


CHIPSET = ['pci 00:00.0 8086:1237 class 060000', 'pci 00:01.0 8086:7000 class 060100',
           'pci 00:01.3 8086:7113 class 068000']
NETWORK = 'pci 00:04.0 1af4:1000 class 020000'


@case('device: PCI bus 0 is an i440FX with a PIIX')
def pci(room):
    run = room.run('pci', '-n', 'none').expect_status(0)
    expect(run.out.splitlines() == CHIPSET, f'it is {run.out!r}')


@case('device: a network adapter by default, a disk in its own slot')
def pci_devices(room):
    run = room.run('pci').expect_status(0)
    expect(run.out.splitlines() == CHIPSET + [NETWORK], f'it is {run.out!r}')
    disk = os.path.join(room.folder, 'disk.img')
    with open(disk, 'wb') as file:
        file.truncate(1 << 20)
    run = room.run('pci', '-d', disk).expect_status(0)
    expect(run.out.splitlines()[3:] == ['pci 00:03.0 1af4:1005 class 00ff00', NETWORK,
                                        'pci 00:0c.0 1af4:1001 class 010000'], f'it is {run.out!r}')


@case('device: interrupts 9, 10 and 11 are levels, after a reset too')
def levels(room):
    room.run('in 0x4d0; in 0x4d1; out 0x4d1 0; in 0x4d1; reboot-count 1').expect_status(0).expect_out(
        'in 00\nin 0e\nin 00\nin 00\nin 0e\nin 00\n')


@case('device: every port at every size, most of them written')
def ports(room):
    run = room.run('ports; hello; pit; pci', '-v').expect_status(0)
    run.expect_out('empty and answering: 0\n.*hello.*pit: .*8086:7113')
    expect(len(run.err.splitlines()) < 60, f'{len(run.err.splitlines())} lines of log')


@case('device: nobody is in the PCI hole and the VGA window')
def memory(room):
    run = room.run('memory').expect_status(0).expect_silence()
    expect(len(run.out.splitlines()) == 4 and 'answers' not in run.out, f'it says {run.out!r}')


@table('device: processors', [(f'{n}', n) for n in (1, 2, 3, 8)])
def processors(room, count):
    room.run(f'smp {count}', '-c', count).expect_status(0).expect_out(rf'processors: {count}\n')


@case('device: processors: 255', alone=True)
def processors_255(room):
    run = room.run('smp 255', '-c', '255')
    if run.status in (64, 69) and 'cpus' in run.err:
        raise Skip(run.err.strip())
    run.expect_status(0).expect_out('processors: 255\n')


@case('device: processors survive resets')
def processors_again(room):
    room.run('smp 4; reboot-count 2', '-c', '4').expect_status(0).expect_out(
        'processors: 4\n.*processors: 4\n.*processors: 4\n.*rebooted 2')


@case('boot: what a multiboot kernel is told')
def info(room):
    first, second = room.path('first'), room.path('second')
    with open(first, 'wb') as f:
        f.write(b'\x01\x02\x03\x04\x05')
    with open(second, 'wb') as f:
        f.write(bytes(range(100, 110)) * 1000)
    run = room.run('info', '-i', first, '-i', second, '-a', 'more words').expect_status(0)
    run.expect_out('magic 2badb002\n').expect_out('mem_lower 639\n').expect_out('mem_upper 64512\n')
    run.expect_out('line [^\n]*info more words\n').expect_out('loader [lL]odge')
    run.expect_out(r'module 5 bytes: 01 02 03 04 05 text')
    run.expect_out(r'module 10000 bytes: 64 65 66 67 68 69 6a 6b text')
    expect('unaligned' not in run.out, 'a module is not on a page boundary')
    ram = sum(int(m[1], 16) for m in re.finditer(r'map 0x\w+ 0x(\w+) type 1\n', run.out))
    expect(62 << 20 < ram <= 64 << 20, f'the map has {ram >> 20} MiB of RAM')


@case('boot: RAM lies around the hole below 4 GiB')
def hole(room):
    run = room.run('info; memory', '-m', '5G').expect_status(0)
    run.expect_out(r'map 0x0000000100000000 0x0000000080000000 type 1\n')
    expect('answers' not in run.out, 'RAM answers in the hole')


@table('boot: compressed with', [(tool, tool) for tool in ('gzip', 'xz', 'zstd', 'lz4')])
def compressed(room, tool):
    packed = room.path('packed')
    options = ['--check=crc32'] if tool == 'xz' else []
    try:
        with open(packed, 'wb') as f:
            subprocess.run([tool, *options, '-c', os.path.realpath(Settings.probe)], stdout=f,
                           check=True, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Skip(f'{tool} is not installed') from None
    room.run('hello', '-k', packed).expect_status(0).expect_silence().expect_out('^hello from')


FLOOD_ENDINGS = [('exit port', 'exit 3', 7), ('triple fault', 'triple', 98),
                 ('what KVM refuses', 'refused', 104), ('power off', 'hello', 0),
                 ('power off after ten resets', 'reboot-count 10', 0)]


@table('device: while other processors write without end:', FLOOD_ENDINGS)
def smp_flood(room, words, status):
    run = room.run(f'smp-flood 4; wait 30; {words}', '-c', '4', '--exit-port')
    run.expect_status(status)
    if status:
        run.expect_line()
    else:
        run.expect_silence()
    expect(run.out.count('.') > 100, 'they wrote nothing')

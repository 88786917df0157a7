# SPDX-License-Identifier: GPL-2.0-or-later
"""What --report leaves behind."""
import json
import os
import re
import signal
import time

from harness import case, expect, wait_until

FILES = ['config.yaml', 'console.log', 'result.json', 'vcpus.txt']


def result(room, folder='report'):
    with open(room.path(folder, 'result.json'), encoding='utf-8') as f:
        return json.load(f)


def text(room, name):
    with open(room.path('report', name), encoding='utf-8', errors='replace') as f:
        return f.read()


@case('report: a good run')
def good(room):
    room.run('hello; say two', '--report', 'report', '-c', '2').expect_status(0).expect_silence()
    expect(room.files() == ['report/' + f for f in FILES], f'files are {room.files()}')
    r = result(room)
    expect(r['ended'] is True and r['status'] == 0 and r['verdict'] == 'poweroff', f'it says {r}')
    expect(r['resets'] == 0 and len(r['vcpus']) == 2 and r['vcpus'][0]['io'] > 0, f'vcpus: {r}')
    expect(0 < r['first_output_s'] <= r['duration_s'] < 60, f'times: {r}')
    expect(r['console'] == {'bytes': 25, 'lost_bytes': 0}, f'console: {r["console"]}')
    expect(r['config']['memory'] in ('64M', 64 << 20), f'config: {r["config"]}')
    expect(r['kernel']['kind'] == 'multiboot', f'kernel: {r["kernel"]}')
    expect(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', r['start']), r['start'])


@case('report: the console with times')
def console(room):
    room.run('say one; wait 300; say two', '--report', 'report').expect_status(0)
    lines = text(room, 'console.log').splitlines()
    expect(len(lines) == 2 and lines[0].endswith(' one') and lines[1].endswith(' two'), f'{lines}')
    times = [float(re.search(r'\d+\.\d+', line)[0]) for line in lines]
    expect(0.25 < times[1] - times[0] < 30, f'the times are {times}')


@case('report: each vCPU, where it stood')
def vcpus(room):
    room.run('exit 1', '--exit-port', '--report', 'report', '-c', '2').expect_status(3)
    dump = text(room, 'vcpus.txt')
    expect(re.search(r'(?i)rip.*10[0-9a-f]{4}', dump), f'no rip in {dump[:400]}')
    expect(len(re.findall(r'(?im)^.*\bvcpu *[01]\b', dump)) >= 2, f'not two vCPUs in {dump[:400]}')


@case('report: what KVM refused')
def refused(room):
    room.run('refused', '--report', 'report').expect_status(104)
    r = result(room)
    expect(r['verdict'] == 'kvm-refused' and r['status'] == 104, f'it says {r}')
    expect(r['stopped_at']['instruction'].startswith('fld') and
           r['stopped_at']['bytes'].startswith('db 2'), f'it says {r["stopped_at"]}')
    expect(r['host']['kvm'].startswith('kvm'), f'host: {r["host"]}')


@case('report: panic, with its words')
def panic(room):
    room.run('panic-words', '--report', 'report').expect_status(96)
    r = result(room)
    expect(r['verdict'] == 'panic' and 'told to' in r['text'], f'it says {r}')
    expect('end Kernel panic' in text(room, 'console.log'), 'console.log ends too early')


@case('report: resets are counted, and cost nothing')
def resets(room):
    run = room.start('reboot-keyboard', '--report', 'report')
    run.wait_output('rebooting')

    def now():
        run.signal(signal.SIGUSR1)
        time.sleep(0.2)
        try:
            return result(room)['resets']
        except (OSError, ValueError):
            return 0
    wait_until(lambda: now() >= 5, 'five resets')
    first = steady_cost(run.pid)
    count = now()
    wait_until(lambda: now() >= count + 20, 'twenty resets more')
    last = steady_cost(run.pid)
    expect(last[0] <= first[0], f'descriptors went from {first[0]} to {last[0]}')
    expect(last[1] - first[1] < 8192, f'resident KiB went from {first[1]} to {last[1]}')
    expect(last[2] <= first[2], f'threads went from {first[2]} to {last[2]}')
    run.signal(signal.SIGTERM)
    time.sleep(0.1)
    run.signal(signal.SIGTERM)
    run.finish().expect_status(143)
    expect(result(room)['resets'] >= count + 20, 'the last report has fewer resets')


def steady_cost(pid):
    """The least of many looks: what a reset or a report uses for a moment does not count."""
    looks = []
    for _ in range(30):
        looks.append(cost(pid))
        time.sleep(0.007)
    return tuple(map(min, zip(*looks)))


def cost(pid):
    """(open descriptors, resident KiB, threads) of a process."""
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        status = f.read()
    return (len(os.listdir(f'/proc/{pid}/fd')),
            int(re.search(r'VmRSS:\s+(\d+)', status)[1]), int(re.search(r'Threads:\s+(\d+)', status)[1]))


@case('report: SIGUSR1 writes it as things stand')
def in_between(room):
    run = room.start('button', '--report', 'report')
    run.wait_output('waiting for the button')
    run.signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(room.path('report', 'result.json')), 'a report')
    r = result(room)
    expect(r['ended'] is False and r['verdict'] == 'running' and r['status'] is None, f'it says {r}')
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0).expect_silence()
    r = result(room)
    expect(r['ended'] is True and r['status'] == 0, f'afterwards: {r}')


@case('report: SIGUSR1 without --report is answered with a line')
def no_report(room):
    run = room.start('button')
    run.wait_output('waiting for the button')
    run.signal(signal.SIGUSR1)
    run.err_reader.wait_for(b'--report')
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0)


@case('report: an earlier one is replaced')
def replaced(room):
    room.run('hello', '--report', 'report').expect_status(0)
    room.run('exit 4', '--report', 'report', '--exit-port').expect_status(9)
    expect(result(room)['status'] == 9 and 'hello' not in text(room, 'console.log'), 'old content')


@case('report: the configuration can be read back')
def configuration(room):
    room.run('hello', '--report', 'report', '-c', '3', '--timeout', '55s').expect_status(0)
    config = text(room, 'config.yaml')
    expect(re.search(r'(?m)^cpus: 3$', config) and 'timeout' in config, f'it is {config!r}')


@case('report: a folder that cannot be made')
def impossible(room):
    run = room.run('hello', '--report', 'no/such/place')
    run.expect_status(73).expect_line('--report')
    expect(not room.files(), f'left behind: {room.files()}')


@case('report: a run that is refused leaves none')
def none(room):
    room.run('hello', '--report', 'report', '-k', 'missing').expect_status(66).expect_line('missing')
    expect(not os.path.exists(room.path('report')), 'the folder is there')


@case('report: the folder vanishes during the run')
def vanished(room):
    run = room.start('button', '--report', 'report')
    run.wait_output('waiting for the button')
    os.rename(room.path('report'), room.path('elsewhere'))
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0)
    expect('report' in run.err, 'not a word about it')

# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals, as the contract of the command line has them."""
import fcntl
import os
import signal
import time

from harness import case, expect, table, wait_until

QUIET = [signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT]
HARMLESS = [signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO]
FATAL = [signal.SIGXCPU, signal.SIGSTKFLT, signal.SIGRTMIN, signal.SIGRTMAX]


@table('signal', [(f'{s.name} presses the power button', s)
                  for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)])
def button(room, number):
    run = room.start('button')
    run.wait_output('waiting for the button')
    run.signal(number)
    run.finish().expect_status(0).expect_silence().expect_out('the button was pressed')


@table('signal', [(f'{s.name} twice ends a guest that does not listen', s)
                  for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)])
def twice(room, number):
    run = room.start('spin')
    run.wait_output('spinning')
    run.signal(number)
    time.sleep(0.3)
    expect(run.process.poll() is None, 'the first signal ended the run')
    run.signal(number)
    run.finish().expect_status(128 + number).expect_line(f'signal {int(number)} ')


@case('signal: SIGTERM once ends a guest that does not listen after 10 s')
def grace(room):
    run = room.start('sleep')
    run.wait_output('sleeping')
    sent = time.monotonic()
    run.signal(signal.SIGTERM)
    run.finish().expect_status(143).expect_line('signal 15 ')
    expect(time.monotonic() - sent > 9.5, 'it did not wait 10 s')


@case('signal: SIGTERM, then SIGINT: the second one counts')
def mixed(room):
    run = room.start('spin')
    run.wait_output('spinning')
    run.signal(signal.SIGTERM)
    time.sleep(0.3)
    run.signal(signal.SIGINT)
    run.finish().expect_status(130).expect_line('signal 2 ')


@case('signal: SIGTERM ends a guest that stands still at once')
def paused(room):
    run = room.start('hello', '--on', 'poweroff=pause')
    run.err_reader.wait_for(b'stands still')
    sent = time.monotonic()
    run.signal(signal.SIGTERM)
    run.finish().expect_status(143)
    expect(time.monotonic() - sent < 8, 'it waited for an answer of a guest that cannot give one')


def ignoring(*numbers):
    """For preexec_fn: as nohup(1) and shells without job control start a program."""
    def prepare():
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
    return prepare


@case('signal: those ignored at the start stay ignored')
def ignored(room):
    run = room.start('button', preexec_fn=ignoring(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT))
    run.wait_output('waiting for the button')
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGINT):
        run.signal(number)
        time.sleep(0.1)
    expect(run.process.poll() is None, 'it ended')
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0).expect_silence()


@case('signal: SIGQUIT ends though nobody reads standard error')
def quit_unread(room):
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    run = room.start('say spinning; spin', '-c', '4', stderr=write_end)
    os.close(write_end)
    run.wait_output('spinning')
    run.signal(signal.SIGQUIT)
    run.finish(30).expect_status(131)
    os.close(read_end)


@case('signal: a report while the guest stands still')
def paused_for_good(room):
    run = room.start('smp 2; reboot-keyboard', '-c', '2', '--on', 'reboot=pause', '--report', 'report')
    run.err_reader.wait_for(b'stands still')
    run.signal(signal.SIGUSR1)
    time.sleep(0.5)
    run.signal(signal.SIGTERM)
    run.finish().expect_status(143)
    with open(room.path('report', 'result.json'), encoding='utf-8') as f:
        expect('"resets": 0' in f.read(), 'it was reset')


@case('signal: SIGTERM before the guest listens is not lost')
def early(room):
    run = room.start('wait 1500; button')
    time.sleep(0.3)
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0, 143)


@case('signal: SIGQUIT ends and shows the vCPUs')
def quit_signal(room):
    run = room.start('spin', '-c', '2')
    run.wait_output('spinning')
    run.signal(signal.SIGQUIT)
    run.finish().expect_status(131)
    last = run.err.splitlines()[-1]
    expect(last.startswith('lodge: ') and 'signal 3 ' in last, f'the last line is {last!r}')
    expect('rip' in run.err.lower(), 'no registers on standard error')


@table('signal', [(f'{s.name} is nothing', s) for s in QUIET])
def quiet(room, number):
    harmless(room, number).expect_silence()


@table('signal', [(f'{s.name} is harmless', s) for s in HARMLESS])
def harmless(room, number):
    run = room.start('echo', stdin=-1)
    run.wait_output('echoing')
    for _ in range(3):
        run.signal(number)
        time.sleep(0.02)
    run.process.stdin.write(b'q')
    run.process.stdin.flush()
    run.finish().expect_status(0)
    expect(len(run.err.splitlines()) <= 3, 'more than a line for each signal')
    return run


@table('signal', [(f'{int(s)} ends the run in good order', s) for s in FATAL])
def fatal(room, number):
    run = room.start('spin', '--report', 'report', '--serial', 'unix:com1')
    wait_until(lambda: os.path.exists(room.path('com1')), 'the socket exists')
    run.signal(number)
    run.finish().expect_status(128 + number).expect_line(f'signal {int(number)}')
    expect('report/result.json' in room.files() and 'com1' not in room.files(),
           f'left behind: {room.files()}')


@case('signal: a storm of them does not stop the guest')
def storm(room):
    run = room.start('pit; pit; pit; pit; rtc; button')
    numbers = HARMLESS + QUIET + [signal.SIGUSR1]
    run.wait_output('pit')
    sent = 0
    while b'waiting' not in run.out_reader.data and run.process.poll() is None and sent < 200000:
        run.signal(numbers[sent % len(numbers)])
        sent += 1
    run.wait_output('waiting for the button')
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0)
    expect(len(run.err.splitlines()) < 120, f'{len(run.err.splitlines())} lines for {sent} signals')


@case('signal: stopped and continued, the guest goes on')
def stopped(room):
    run = room.start('pit; pit; button')
    run.signal(signal.SIGSTOP)
    time.sleep(1)
    run.signal(signal.SIGCONT)
    run.wait_output('waiting for the button')
    run.signal(signal.SIGSTOP)
    time.sleep(0.5)
    run.signal(signal.SIGCONT)
    run.signal(signal.SIGTERM)
    run.finish().expect_status(0).expect_silence()


@case('signal: SIGKILL leaves no process behind')
def killed(room):
    run = room.start('spin', '-c', '2')
    run.wait_output('spinning')
    children = os.listdir(f'/proc/{run.pid}/task')
    run.signal(signal.SIGKILL)
    run.finish().expect_status(-9)
    wait_until(lambda: not any(os.path.exists(f'/proc/{c}') for c in children), 'threads are gone')

# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial ports: where they go, and that nobody who reads badly can stall the guest."""
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import time

from harness import Failure, Room, Settings, case, expect, table, wait_until

FLOOD = 100000
LINE = b'the quick brown fox\n'


def feed(run, data):
    run.process.stdin.write(data)
    run.process.stdin.flush()


@table('console', [(f'input reaches the guest ({w})', w) for w in ('echo', 'echo-irq')])
def echo(room, words):
    run = room.start(words, stdin=subprocess.PIPE)
    run.wait_output('echoing')
    feed(run, b'abc')
    run.wait_output('abc')
    feed(run, b'defq')
    run.finish().expect_status(0).expect_out('abcdefq')


@case('console: much input at once arrives whole')
def much_input(room):
    data = bytes(range(ord('A'), ord('Z'))) * 200
    run = room.start('echo', stdin=subprocess.PIPE)
    feed(run, data + b'q')
    run.finish().expect_status(0)
    expect(data + b'q' in run.out_reader.data, 'bytes are missing')


@case('console: the end of input is no end of the run')
def end_of_input(room):
    run = room.start('echo', '--timeout', '1s', stdin=subprocess.DEVNULL)
    run.finish().expect_status(124).expect_line('timeout')


@case('console: a second port')
def second(room):
    run = room.run('hello', '--serial', 'null', '--serial', 'stdio').expect_status(0)
    expect(run.out == '', 'COM1 came out of COM2')


@case('console: null')
def null(room):
    expect(room.run('hello', '--serial', 'null').expect_status(0).out == '', 'it said something')


@case('console: the last byte before a silence is not late', alone=True)
def prompt_soon(room):
    # KVM gathers what is written to the port; no exit follows the end of a line here.
    count, late = 9, []
    run = room.start(';'.join(f'say {n}>;dawdle 1500' for n in range(count)))
    for n in range(count):
        run.wait_output(f'{n}>')
        seen = time.monotonic()
        run.wait_output(f'{n}>\n')
        late.append(time.monotonic() - seen)
    run.finish().expect_status(0)
    expect(sum(late) / count < 0.08, f'late by {[round(1000 * s) for s in late]} ms')


@case('console: a file')
def file(room):
    room.run('hello', '--serial', 'file:com1').expect_status(0).expect_silence()
    with open(room.path('com1'), 'rb') as f:
        expect(f.read() == b'hello from the probe\n', 'the file has something else')


@case('console: a file takes a flood whole')
def file_flood(room):
    room.run(f'flood {FLOOD // 10}', '--serial', 'file:com1').expect_status(0).expect_silence()
    with open(room.path('com1'), 'rb') as f:
        data = f.read()
    expect(data == LINE * (FLOOD // 10) + b'flooded\n', f'{len(data)} bytes')


@case('console: a file in a folder that does not exist')
def file_missing(room):
    run = room.run('hello', '--serial', 'file:no/such/com1')
    run.expect_status(73).expect_line('no/such/com1')


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(Settings.limit)
    wait_until(lambda: os.path.exists(path), 'the socket exists')
    s.connect(path)
    return s


def receive(s, text):
    data = b''
    while text not in data:
        piece = s.recv(4096)
        if not piece:
            raise Failure(f'the socket ended; it had {data!r}')
        data += piece
    return data


@case('console: a socket, attached late, detached and attached again')
def unix(room):
    run = room.start('say early; echo', '--serial', 'unix:com1')
    time.sleep(0.3)
    with connect(room.path('com1')) as s:
        receive(s, b'early')
        s.sendall(b'abc')
        receive(s, b'abc')
    time.sleep(0.1)
    with connect(room.path('com1')) as s:
        s.sendall(b'xyz')
        receive(s, b'xyz')
        s.sendall(b'q')
        run.finish().expect_status(0)
    expect(not room.files(), f'left behind: {room.files()}')


@case('console: a socket whose path is in use')
def unix_taken(room):
    first = room.start('button', '--serial', 'unix:com1')
    wait_until(lambda: os.path.exists(room.path('com1')), 'the socket exists')
    room.run('hello', '--serial', 'unix:com1').expect_status(73).expect_line('com1')
    expect(first.process.poll() is None, 'the first run ended')
    expect(os.path.exists(room.path('com1')), 'the second run took the socket away')


@case('console: a socket that a killed run left is taken over')
def unix_stale(room):
    first = room.start('spin', '--serial', 'unix:com1')
    wait_until(lambda: os.path.exists(room.path('com1')), 'the socket exists')
    first.signal(signal.SIGKILL)
    first.finish()
    room.run('hello', '--serial', 'unix:com1').expect_status(0).expect_silence()


@case('console: a pty')
def pseudoterminal(room):
    run = room.start('echo', '--serial', 'pty')
    run.err_reader.wait_for(b'/dev/pts/')
    path = re.search(r'/dev/pts/\d+', run.err)[0]
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    time.sleep(0.2)
    os.write(fd, b'abcq')
    data = b''
    while b'abcq' not in data:
        data += os.read(fd, 4096)
    run.finish().expect_status(0)
    os.close(fd)


def terminal_run(room, words, *options):
    """A run on a terminal whose other end is ours: (run, our end, the terminal as it was)."""
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    run = room.start(words, *options, stdin=its, stdout=its)
    return run, ours, its, before


def read_until(fd, text):
    data, end = b'', time.monotonic() + Settings.limit
    os.set_blocking(fd, False)
    while text not in data:
        try:
            data += os.read(fd, 4096)
        except BlockingIOError:
            if time.monotonic() > end:
                raise Failure(f'{text!r} did not come; there was {data!r}') from None
            time.sleep(0.02)
    return data


# (name, what is done to the run, its status)
WAYS_OUT = [
    ('power off', lambda run, fd: os.write(fd, b'q'), 0),
    ('Ctrl-a x', lambda run, fd: os.write(fd, b'\x01x'), 0),
    ('SIGTERM twice', lambda run, fd: (run.signal(15), time.sleep(0.2), run.signal(15)), 143),
    ('SIGQUIT', lambda run, fd: run.signal(signal.SIGQUIT), 131),
    ('SIGSEGV', lambda run, fd: run.signal(signal.SIGSEGV), -11),
]


@table('console: the terminal is given back after', WAYS_OUT)
def terminal(room, act, status):
    run, ours, its, before = terminal_run(room, 'echo')
    read_until(ours, b'echoing')
    wait_until(lambda: not termios.tcgetattr(its)[3] & termios.ICANON, 'the terminal is raw')
    act(run, ours)
    run.finish()
    if run.status != 1 or status != -11:  # a sanitized program ends otherwise
        run.expect_status(status)
    after = termios.tcgetattr(its)
    expect(before == after, f'it was {before[:4]}, it is {after[:4]}')


@case('console: Ctrl-c goes to the guest, Ctrl-a Ctrl-a is a Ctrl-a')
def keys(room):
    run, ours, _, _ = terminal_run(room, 'echo')
    read_until(ours, b'echoing')
    os.write(ours, b'<\x03\x1a\x01\x01>')
    read_until(ours, b'<\x03\x1a\x01>')
    os.write(ours, b'q')
    run.finish().expect_status(0)


# --- bad readers

@case('console: a pipe that nobody reads does not stall the guest')
def unread(room):
    reading, writing = os.pipe()
    run = room.start(f'flood {FLOOD}; exit 5', '--exit-port', stdout=writing)
    os.close(writing)
    run.finish().expect_status(11)
    os.close(reading)


@case('console: a pipe that is closed does not end the run')
def closed(room):
    reading, writing = os.pipe()
    run = room.start('wait 200; flood 1000; exit 5', '--exit-port', stdout=writing)
    os.close(writing)
    os.close(reading)
    run.finish().expect_status(11)
    expect(len(run.err.splitlines()) <= 3, f'too many lines: {run.err!r}')


@case('console: a slow reader misses the middle, not the end')
def slow(room):
    reading, writing = os.pipe()
    run = room.start(f'flood {FLOOD // 4}; wait 300', stdout=writing)
    os.close(writing)
    time.sleep(1.5)
    data = b''
    while True:
        piece = os.read(reading, 512)
        if not piece:
            break
        data += piece
    os.close(reading)
    run.finish().expect_status(0)
    expect(data.endswith(b'flooded\n'), f'the end is missing: {data[-80:]!r}')


@case('console: a reader who stops at standard error does not stall it either')
def unread_errors(room):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b'x' * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    run = room.start('hello; exit 5', '--exit-port', '-v', '-v', stderr=writing)
    os.close(writing)
    try:
        run.finish()
    finally:
        os.close(reading)
    run.expect_status(11)


@case('console: a stopped terminal does not stall the guest')
def stopped_terminal(room):
    run, ours, its, _ = terminal_run(room, f'flood {FLOOD // 10}; exit 5', '--exit-port')
    termios.tcflow(its, termios.TCOOFF)
    run.finish().expect_status(11)
    os.close(ours)


CLOSED = [('standard input', '<&-'), ('standard output', '>&-'), ('standard error', '2>&-'),
          ('all three', '<&- >&- 2>&-')]


@table('console: closed from the start:', CLOSED)
def closed_stdio(room: Room, redirection):
    run = room.start('hello; exit 5', '--exit-port', '--report', 'report')
    run.finish()
    again = subprocess.run(['sh', '-c', f'exec "$@" {redirection}', 'sh', *run.arguments],
                           cwd=room.folder, timeout=Settings.limit, check=False, capture_output=True,
                           env={**os.environ, **room.environment})
    expect(again.returncode == 11, f'status {again.returncode}')
    with open(room.path('report', 'console.log'), 'rb') as f:
        expect(b'hello' in f.read(), 'the console log lacks it')


@case('console: a full disk does not stop the guest')
def full(room):
    run = room.run('flood 1000; exit 5', '--exit-port', '--serial', 'file:/dev/full')
    run.expect_status(11)
    expect('/dev/full' in run.err or 'space' in run.err, 'not a word about it')
    expect(len(run.err.splitlines()) <= 3, 'too many lines about it')

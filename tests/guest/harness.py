# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the guest tests share: starting the monitor with the probe, waiting for what it says, checking
how it ended, and a runner that speaks TAP.

A case is a function that takes a Room: a folder of its own and a list of what it started, so that
nothing outlives it. It fails by raising Failure. No check depends on how fast the machine is:
limits are there to end a hang, and are generous.
"""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SOURCE = os.path.dirname(os.path.realpath(__file__))

class Failure(Exception):
    """A check did not hold; the text says which and what was there instead."""


class Skip(Exception):
    """This host lacks what the case needs; the text says what."""


class Settings:
    """From the command line of run."""
    lodge = 'build/lodge'
    probe = 'build/tests/guest/probe.elf'
    shim = 'build/tests/guest/shim.so'
    sanitized = False
    limit = 60.0  # seconds for any run, unless a case says otherwise


class Reader(threading.Thread):
    """Collects what comes from a descriptor, so that others can wait for it."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.data = b''
        self.changed = threading.Condition()
        self.ended = False
        self.start()

    def run(self):
        while True:
            try:
                piece = os.read(self.stream.fileno(), 65536)
            except (OSError, ValueError):
                piece = b''
            with self.changed:
                self.data += piece
                self.ended = not piece
                self.changed.notify_all()
            if not piece:
                return

    def wait_for(self, text, limit=None):
        end = time.monotonic() + (limit or Settings.limit)
        with self.changed:
            while text not in self.data:
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    raise Failure(f'{text!r} did not come; there was {tail(self.data)!r}')
                self.changed.wait(left)


def tail(data, count=600):
    return data if len(data) <= count else b'...' + data[-count:]


class Run:
    """One start of the monitor."""

    def __init__(self, room, arguments, environment=None, stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen):
        self.arguments = [os.path.realpath(Settings.lodge)] + [str(a) for a in arguments]
        self.started = time.monotonic()
        self.seconds = None
        self.process = subprocess.Popen(
            self.arguments, stdin=stdin, stdout=stdout, stderr=stderr, cwd=room.folder,
            env={**os.environ, **room.environment, **(environment or {})}, **popen)
        room.runs.append(self)
        self.out_reader = Reader(self.process.stdout) if self.process.stdout else None
        self.err_reader = Reader(self.process.stderr) if self.process.stderr else None

    @property
    def pid(self):
        return self.process.pid

    @property
    def status(self):
        return self.process.returncode

    @property
    def out(self):
        return self.out_reader.data.decode('utf-8', 'replace') if self.out_reader else ''

    @property
    def err(self):
        return self.err_reader.data.decode('utf-8', 'replace') if self.err_reader else ''

    def signal(self, number):
        self.process.send_signal(number)

    def wait_output(self, text, limit=None):
        self.out_reader.wait_for(text.encode(), limit)

    def finish(self, limit=None):
        """Waits for the end. A hang is a failure that says so."""
        limit = limit or Settings.limit
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f'still running after {limit:.0f} s') from None
        self.seconds = time.monotonic() - self.started
        for reader in (self.out_reader, self.err_reader):
            if reader:
                reader.join(5)
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def describe(self):
        lines = [f'command: {" ".join(map(repr, self.arguments))}', f'status: {self.status}']
        for name, text in (('stdout', self.out), ('stderr', self.err)):
            if text:
                lines += [f'{name}:'] + ['  ' + line for line in text[-3000:].splitlines()[-30:]]
        return '\n'.join(lines)

    # --- checks; each returns self so that they can be chained

    def expect_status(self, *statuses):
        if self.status not in statuses:
            raise Failure(f'status {self.status}, expected {" or ".join(map(str, statuses))}')
        return self

    def expect_out(self, pattern):
        if not re.search(pattern, self.out, re.S):
            raise Failure(f'standard output does not match {pattern!r}')
        return self

    def expect_silence(self):
        if self.err:
            raise Failure(f'standard error is not empty: {self.err[:200]!r}')
        return self

    def expect_line(self, pattern=''):
        """Exactly one line on standard error, of the form that scripts look for."""
        lines = self.err.splitlines()
        if len(lines) != 1 or not lines[0].startswith('lodge: '):
            raise Failure(f'{len(lines)} lines on standard error instead of one: {lines[:5]}')
        if not re.search(pattern, lines[0]):
            raise Failure(f'{lines[0]!r} does not match {pattern!r}')
        return self


class Room:
    """What one case has: a folder, and everything that it started."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='lodge-guest-')
        self.runs = []
        self.environment = {'XDG_CACHE_HOME': os.path.join(self.folder, 'cache')}

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def arguments(self, words, options=()):
        return ['run', '-m', '64M', '-k', os.path.realpath(Settings.probe), '-a', words, *options]

    def start(self, words, *options, **popen):
        """Starts the probe with these words and goes on."""
        return Run(self, self.arguments(words, options), **popen)

    def run(self, words, *options, limit=None, **popen):
        """Runs the probe with these words to the end."""
        return self.start(words, *options, **popen).finish(limit)

    @staticmethod
    def shim(rule):
        """The environment in which KVM answers by this rule (shim.c)."""
        shim = {'LD_PRELOAD': os.path.realpath(Settings.shim), 'KVM_SHIM': rule}
        if Settings.sanitized:
            shim['ASAN_OPTIONS'] = 'verify_asan_link_order=0:' + os.environ.get('ASAN_OPTIONS', '')
        return shim

    def run_shimmed(self, rule, words='hello', *options):
        return self.run(words, *options, environment=self.shim(rule))

    def files(self):
        """All that was left in the folder, but for the cache."""
        found = []
        for base, folders, names in os.walk(self.folder):
            folders[:] = [f for f in folders if f != 'cache' or base != self.folder]
            found += [os.path.relpath(os.path.join(base, name), self.folder) for name in names]
        return sorted(found)

    def close(self):
        for run in self.runs:
            run.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


CASES = []


def case(name, alone=False):
    """Registers a test. Cases that measure run alone."""
    def register(function):
        CASES.append((name, function, alone))
        return function
    return register


def table(prefix, rows):
    """Registers one test for each row: (name, then what the function takes)."""
    def register(function):
        for row in rows:
            CASES.append((f'{prefix}: {row[0]}',
                          lambda room, row=row: function(room, *row[1:]), False))
        return function
    return register


def expect(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(condition, text, limit=None):
    limit = limit or Settings.limit
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise Failure(f'not within {limit:.0f} s: {text}')
        time.sleep(0.02)


class Outcome:
    def __init__(self, word, detail=''):
        self.word, self.detail = word, detail


def run_case(entry):
    name, function, _ = entry
    room = Room()
    began = time.monotonic()
    try:
        function(room)
        outcome = Outcome('ok')
    except Skip as reason:
        outcome = Outcome('skip', str(reason))
    except Failure as reason:
        outcome = Outcome('not ok', '\n'.join([str(reason)] + [r.describe() for r in room.runs[-2:]]))
    except Exception:  # a mistake in the case itself must not end the others
        outcome = Outcome('not ok', traceback.format_exc())
    finally:
        room.close()
    return name, outcome, time.monotonic() - began


class Tap:
    """Test Anything Protocol, version 13."""

    def __init__(self, count, times):
        self.number, self.failed, self.skipped, self.times = 0, 0, 0, times
        print(f'TAP version 13\n1..{count}', flush=True)

    def report(self, name, outcome, seconds):
        self.number += 1
        name = name.replace('#', '')
        line = f'{"not ok" if outcome.word == "not ok" else "ok"} {self.number} - {name}'
        if outcome.word == 'skip':
            self.skipped += 1
            line += f' # SKIP {outcome.detail}'
        elif self.times:
            line += f' # {seconds:.1f} s'
        print(line)
        if outcome.word == 'not ok':
            self.failed += 1
            for text in outcome.detail.splitlines():
                print(f'# {text}')
        sys.stdout.flush()


def run_all(cases, jobs, times):
    """True if none failed. Cases that measure come last, one by one."""
    tap = Tap(len(cases), times)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    # What we ignore, the monitor would; a shell without job control starts us so.
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_case, entry) for entry in cases if not entry[2]]
        for future in concurrent.futures.as_completed(futures):
            tap.report(*future.result())
    for entry in cases:
        if entry[2]:
            tap.report(*run_case(entry))
    print(f'# {tap.number - tap.failed - tap.skipped} passed, {tap.failed} failed, '
          f'{tap.skipped} skipped')
    return not tap.failed

# SPDX-License-Identifier: GPL-2.0-or-later
"""
One session of tests where a real KVM is: in the lab (tools/lab), or on this machine.

A session is a program that prints a line of TAP for each test. The lab can hang with all that is in
it, an emulated clock and processors of which the host takes away what it likes; a session that is
silent for too long goes on in a new lab. It gets, as its last argument, how many lines there were.
"""
import os
import select
import subprocess
import sys
import threading

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
LAB = os.path.join(TOP, 'tools', 'lab')
START_S = 240  # for the lab to boot
LABS = 4  # at most, for one session


output = threading.Lock()  # sessions may run side by side: their lines stay whole


def tell(lines):
    with output:
        sys.stdout.buffer.write(lines)
        sys.stdout.flush()


def note(text):
    tell(f'# {text}\n'.encode())


def native():
    """Can this machine's own KVM run stock kernels?"""
    real = any(os.path.isdir(f'/sys/module/{name}') for name in ('kvm_amd', 'kvm_intel'))
    return real and os.access('/dev/kvm', os.R_OK | os.W_OK)


def run_in_lab(options, command, silence_s):
    """Status of the session. options: of tools/lab. silence_s: longer than any test may take."""
    command = [LAB, *options, '--'] + command
    done, status, hung_at = 0, None, None
    for _ in range(LABS):
        done, status = one_lab(command + [str(done)], done, silence_s)
        if status is not None:
            break
        note('the lab hangs')
        if done == hung_at:  # twice at the same case: this is not the lab's
            tell(f'not ok {done + 1} - the lab hangs in this case each time\n'.encode())
            done, hung_at = done + 1, None
        else:
            hung_at = done
    if status != 0:
        note(f'the session ended with status {status}')
    return status or 0 if status is not None else 1


def one_lab(command, done, silence_s):
    """Pass on what a session prints. Cases done so far, and its status or None if it fell silent."""
    lab = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    rest, limit_s = b'', START_S
    try:
        while True:
            if not select.select([lab.stdout], [], [], limit_s)[0]:
                return done, None
            limit_s = silence_s
            data = os.read(lab.stdout.fileno(), 65536)
            if not data:
                tell(rest)
                return done, lab.wait()
            *lines, rest = (rest + data).split(b'\n')
            tell(b''.join(line + b'\n' for line in lines))
            done += sum(line.startswith((b'ok ', b'not ok ')) for line in lines)
    finally:
        lab.terminate()
        lab.wait()

# SPDX-License-Identifier: GPL-2.0-or-later
"""
Boot cases with virtio consoles and named ports: the table that session.py adds to its own.

Debian's newer kernel has the driver built in, so it can have hvc0 from its first line on; the older
one loads it from the initramfs.
"""
import fcntl
import hashlib
import json
import os
import socket
import struct
import termios

PORT = 'org.lodge.echo.0'
BULK_BYTES = 3 << 20


def connect(path, limit_s=20):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(limit_s)
    peer.connect(path)
    return peer


def receive(peer, size=None):
    """A line, or so many bytes; what came until it ended or took too long."""
    text = b''
    try:
        while (len(text) < size if size else not text.endswith(b'\n')):
            data = peer.recv(65536 if size else 1)
            if not data:
                break
            text += data
    except TimeoutError:
        pass
    return text


def content(path):
    with open(path, 'rb') as file:
        return file.read().decode(errors='replace')


def cases(linux, Case, Failure):
    """The table. What it is made of is session.py's."""

    def nothing(work, artifacts):
        return {}

    def hvc(name, command, options=(), append='', **more):
        """A guest that knows no other console."""
        return Case(name, ['-m', '256', '-k', '{backports}', '-i', '{facts}', *options],
                    need=('backports', 'facts'), files=nothing,
                    append=f'console=hvc0 panic=-1 quiet cryptomgr.notests {append} '
                           f'lodge.command="{command}"', **more)

    def use_terminal(process, read, files):
        """Another size, some typing, the escape key."""
        if not read('listening'):
            return
        fcntl.ioctl(files['terminal'], termios.TIOCSWINSZ, struct.pack('HHHH', 41, 133, 0, 0))
        if not read('resized 41 133'):
            return
        os.write(files['terminal'], b'hello\r')
        if read('got-hello'):
            os.write(files['terminal'], b'\x01x')

    def panicked(text, artifacts):
        work = artifacts['work']
        for path in ('hvc0', 'out/console.log'):
            if 'Kernel panic - not syncing: sysrq triggered crash' not in content(f'{work}/{path}'):
                raise Failure(f'no panic in {path}')
        result = json.loads(content(f'{work}/out/result.json'))
        if result['verdict'] != 'panic' or 'sysrq triggered crash' not in result['text'] or \
                not result['console']['bytes'] or result['ports'][0]['port'] != 'console0':
            raise Failure(f'the report says {result}')
        if content(f'{work}/out/serial.log'):
            raise Failure('something came on COM1')

    def talk(process, read, files):
        """Two clients, one after the other; then more than all buffers hold, both ways."""
        if not read('listening'):
            return
        path = f'{files["work"]}/echo'
        with connect(path) as peer:
            peer.sendall(b'ping\n')
            files['first'] = receive(peer)
        with connect(path) as peer:
            peer.sendall(b'pong\n')
            files['second'] = receive(peer)
            data = os.urandom(BULK_BYTES)
            files['sent'] = hashlib.sha256(data).hexdigest()
            peer.sendall(data)
            bulk = receive(peer, BULK_BYTES)
            files['back'] = hashlib.sha256(bulk).hexdigest()
            files['back_bytes'] = len(bulk)

    def talked(text, artifacts):
        got = {name: artifacts.get(name) for name in ('first', 'second', 'back_bytes')}
        if got['first'] != b'got ping\n' or got['second'] != b'and pong\n':
            raise Failure(f'through the port came {got}')
        if artifacts['sent'] not in text or artifacts['back'] != artifacts['sent']:
            raise Failure(f'the bytes came changed: {got}')
        for name, words in (('hvc0', 'console words'), ('log', 'to the log')):
            if words not in content(f'{artifacts["work"]}/{name}'):
                raise Failure(f'"{words}" is not in {name}')

    find = ('cd /sys/class/virtio-ports; grep . */name; e=/dev/$(dirname $(grep -l echo */name)); '
            'l=/dev/$(dirname $(grep -l ^log */name)); ')
    echo = ('echo console words >/dev/hvc0; echo to the log >$l; exec 3<>$e; echo listening; '
            'read a <&3; echo got $a >&3; read b <&3; echo and $b >&3; '
            f'head -c {BULK_BYTES} <&3 >/tmp/bulk; sha256sum /tmp/bulk; cat /tmp/bulk >&3; sleep 2')
    size = ('until stty size; do sleep 0.1; done; echo size $(stty size); echo listening; '
            'while [ $(stty size | tr -d \' \') != 41133 ]; do sleep 0.2; done; '
            'echo resized $(stty size); read l; echo got-$l; sleep 1000')
    return [
        Case('hvc0 on stdio, no command line given',
             ['-m', '256', '-k', '{backports}', '-i', '{facts}', '--console', 'stdio'],
             need=('backports', 'facts'), want=('cmdline=console=hvc0', 'facts-end',
                                                'guest: .* status 0')),
        hvc('hvc0 on a terminal: size, typing, escape key', size, options=('--console', 'stdio'),
            terminal=(24, 80), act=use_terminal, forbid=False,
            want=('size 24 80', 'resized 41 133', 'got-hello')),
        hvc('panic on hvc0', 'echo c >/proc/sysrq-trigger', status=96, forbid=False,
            options=('--console', 'file:{work}/hvc0', '--serial', 'null', '--report', '{work}/out'),
            want=('sysrq triggered crash',), after=panicked),
        linux('named ports both ways, hvc0 in a file', initrd='cloud-virtio', files=nothing,
              command=find + echo, act=talk, after=talked,
              options=('--console', 'file:{work}/hvc0', '--port', PORT + '=unix:{work}/echo',
                       '--port', 'log=file:{work}/log'), want=(PORT, 'guest: .* status 0')),
    ]

# SPDX-License-Identifier: GPL-2.0-or-later
"""
Boot cases with virtio disks and networks: what tests/boot/run prepares for them, and the table that
session.py adds to its own.

The guests are Debian's kernels with their own virtio modules in an initramfs. Their root, where they
have one, is an ext4 file system with busybox; what they wrote is read back from the image.
"""
import fcntl
import hashlib
import http.server
import json
import lzma
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

MODULES = ('virtio/virtio_ring', 'virtio/virtio', 'virtio/virtio_pci_modern_dev',
           'virtio/virtio_pci_legacy_dev', 'virtio/virtio_pci', 'block/virtio_blk', 'net/failover',
           'net/net_failover', 'net/virtio_net', 'char/hw_random/virtio-rng', 'char/virtio_console')

# The root's /sbin/init: the command, then a clean end.
ROOT_INIT = '''#!/bin/busybox sh
export PATH=/bin:/sbin HOME=/
busybox --install -s /bin
ip link set lo up
command=$(sed -n 's/.*lodge.command="\\([^"]*\\)".*/\\1/p' /proc/cmdline)
echo "root: $(grep ' / ' /proc/mounts | tail -n 1)"
sh -c "${command:-$(cat /etc/command)}"
echo "guest: root status $?"
sync
mount -o remount,ro /
poweroff -f
'''

# What udhcpc calls.
DHCP = '''#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route add default via "$router"
echo "dhcp: $ip/$mask router $router dns $dns"
'''
UP = ('ip link set lo up; ip link set eth0 up; udhcpc -q -n -f -i eth0 -s /etc/dhcp >/tmp/dhcp 2>&1; '
      'grep dhcp: /tmp/dhcp')

DEBIAN_LIMIT_S = 400
SMALL = '/run/lodge-small'
DATA_BYTES = 8 << 20
# A file of random bytes, its checksum, and a small one, written and synced.
WRITE = (f'dd if=/dev/urandom of=/data bs=64k count={DATA_BYTES >> 16} 2>/dev/null; sync; '
         'echo 3 >/proc/sys/vm/drop_caches; echo data=$(sha256sum </data); echo written >/note')


def prepare(folder, guest, output, found, reasons, whole_debian):
    """Adds to found: cloud-virtio and backports-virtio, initramfs archives; root, a raw image."""
    writer = f'{folder}/disk_writer'
    subprocess.run(['cc', '-std=gnu11', '-D_GNU_SOURCE', '-O2', '-static', '-o', writer,
                    f'{os.path.dirname(os.path.realpath(__file__))}/disk_writer.c'], check=True)
    files = {'dhcp': DHCP, 'root-init': ROOT_INIT}
    for name, text in files.items():
        with open(f'{folder}/{name}', 'w') as file:
            file.write(text)
        os.chmod(f'{folder}/{name}', 0o755)
    for kernel in ('cloud', 'backports'):
        modules = output(guest, 'modules', kernel)
        add = modules and module_options(modules, f'{folder}/{kernel}-modules')
        path = f'{folder}/{kernel}-virtio.cpio.gz'
        if add and output(guest, 'initramfs', '--command', 'true', *add, '--add',
                          f'{folder}/dhcp:/etc/dhcp', '--add', f'{writer}:/disk_writer',
                          path) is not None:
            found[f'{kernel}-virtio'] = path
        else:
            reasons[f'{kernel}-virtio'] = f'no virtio modules of the kernel {kernel}'
    found['root'] = make_root(folder)
    debian = output(guest, 'cache') + '/rootfs'
    if not whole_debian:
        reasons['debian'] = 'it takes minutes; tests/boot/run --debian runs it'
    elif os.path.exists(f'{debian}/root.qcow2'):
        found.update({'debian': f'{debian}/root.qcow2', 'debian-kernel': f'{debian}/vmlinuz',
                      'debian-initrd': f'{debian}/initrd.img', 'debian-key': f'{debian}/id'})
    else:
        reasons['debian'] = 'no Debian on a disk; tools/guest rootfs makes one, in minutes'


def module_options(modules, folder):
    """--add for each of MODULES, unpacked, in the order in which they are inserted."""
    os.makedirs(folder, exist_ok=True)
    with open(f'{modules}/modules.builtin') as file:
        builtin = file.read()
    options = []
    for number, name in enumerate(MODULES):
        base = f'kernel/{"net/core" if name == "net/failover" else "drivers/" + os.path.dirname(name)}'
        source = f'{modules}/{base}/{os.path.basename(name)}.ko'
        target = f'{folder}/{number:02}-{os.path.basename(name)}.ko'
        if os.path.exists(source):
            shutil.copyfile(source, target)
        elif os.path.exists(source + '.xz'):
            with lzma.open(source + '.xz') as packed, open(target, 'wb') as file:
                shutil.copyfileobj(packed, file)
        elif os.path.relpath(source, modules) in builtin:
            continue
        else:
            return None
        options += ['--add', f'{target}:/modules/{os.path.basename(target)}']
    return options


def make_root(folder):
    """A raw image of 32 MiB: ext4 with busybox, ROOT_INIT and what it needs."""
    tree, image = f'{folder}/root', f'{folder}/root.raw'
    shutil.rmtree(tree, ignore_errors=True)
    for name in ('bin', 'sbin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'www'):
        os.makedirs(f'{tree}/{name}')
    shutil.copy(shutil.which('busybox'), f'{tree}/bin/busybox')
    os.symlink('busybox', f'{tree}/bin/sh')
    shutil.copy(f'{folder}/root-init', f'{tree}/sbin/init')
    shutil.copy(f'{folder}/dhcp', f'{tree}/etc/dhcp')
    with open(f'{tree}/etc/command', 'w') as file:
        file.write(WRITE)
    with open(f'{tree}/www/index.html', 'w') as file:
        file.write('page of the guest\n')
    if os.path.exists(image):
        os.unlink(image)
    mke2fs = shutil.which('mke2fs') or '/sbin/mke2fs'
    subprocess.run([mke2fs, '-q', '-t', 'ext4', '-L', 'root', '-d', tree, image, '32M'], check=True)
    return image


def qemu_img(*arguments):
    return subprocess.run(['qemu-img', *arguments], capture_output=True, text=True, check=False)


def tool(name):
    return shutil.which(name) or f'/sbin/{name}'


class Web(http.server.ThreadingHTTPServer):
    """A server, by default on the host's loopback, as guests see it under 10.0.2.2."""

    def __init__(self, address='127.0.0.1'):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = hashlib.sha256(b'lodge').hexdigest().encode() * 16384  # 1 MiB
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__((address, 0), Handler)
        self.sum = hashlib.sha256(hashlib.sha256(b'lodge').hexdigest().encode() * 16384).hexdigest()
        threading.Thread(target=self.serve_forever, daemon=True).start()


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


def make_tap(artifacts, reasons):
    """An interface with two ends' room, in the lab only: a host's interfaces are not ours to make."""
    if not os.environ.get('LODGE_LAB'):
        reasons['tap'] = 'interfaces are made in the lab only'
        return
    subprocess.run(['busybox', 'modprobe', 'tun'], check=True)
    with open('/dev/net/tun', 'rb+', buffering=0) as tun:
        # TUNSETIFF: IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE; TUNSETPERSIST
        fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'lodge0', 0x1102))
        fcntl.ioctl(tun, 0x400454cb, 1)
    for words in ('addr add 192.168.77.1/24 dev lodge0', 'link set lodge0 up'):
        subprocess.run(['busybox', 'ip'] + words.split(), check=True)
    artifacts['tap'] = 'lodge0'


def fetch(port, limit_s=20, host='127.0.0.1'):
    """What a web server answers behind a port, as text."""
    end = time.monotonic() + limit_s
    while True:
        try:
            with socket.create_connection((host, port), 5) as peer:
                peer.sendall(b'GET /index.html HTTP/1.0\r\n\r\n')
                text = b''
                while data := peer.recv(65536):
                    text += data
                if text or time.monotonic() > end:
                    return text.decode(errors='replace')
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def cases(linux, Case, Failure):
    """The table. What it is made of is session.py's."""

    def copy_root(form):
        def files(work, artifacts):
            disk = f'{work}/disk.{form}'
            if form == 'raw':
                shutil.copyfile(artifacts['root'], disk)
            else:
                subprocess.run(['qemu-img', 'convert', '-O', form, artifacts['root'], disk],
                               check=True)
            return {'disk': disk}
        return files

    def check_image(disk):
        """The image is whole, and the file system in it clean; a raw image of the same content."""
        raw = disk
        if disk.endswith('.qcow2'):
            result = qemu_img('check', disk)
            if result.returncode:
                raise Failure(f'qemu-img check: {result.stdout}{result.stderr}')
            raw = disk + '.raw'
            qemu_img('convert', '-O', 'raw', disk, raw)
        return raw

    def read_back(text, artifacts):
        raw = check_image(artifacts['disk'])
        result = subprocess.run([tool('e2fsck'), '-fn', raw], capture_output=True, text=True,
                                check=False)
        if result.returncode:
            raise Failure(f'e2fsck: {result.stdout}{result.stderr}')
        data = subprocess.run([tool('debugfs'), '-R', 'cat /data', raw], capture_output=True,
                              check=True).stdout
        found = re.search(r'^data=([0-9a-f]{64})', text, re.M)
        if len(data) != DATA_BYTES or not found or \
                hashlib.sha256(data).hexdigest() != found.group(1):
            raise Failure(f'/data has {len(data)} bytes, and not what the guest said')

    def rooted(name, form='qcow2', disk='{disk}', kernel='cloud', command=WRITE, after=read_back,
               append='', **more):
        options = ['-d', disk] + list(more.pop('options', ()))
        return linux(name, kernel=kernel, initrd=f'{kernel}-virtio', command=command,
                     files=copy_root(form), after=after, options=options,
                     need=('root',), append=f'root=/dev/vda {append}'.strip(),
                     want=more.pop('want', ('root: /dev/root|root: /dev/vda', 'root status 0')),
                     **more)

    def networked(name, command, kernel='cloud', net='user', want=(), act=None, options=(), **more):
        def files(work, artifacts):
            web = Web()
            return {'web': str(web.server_address[1]), 'sum': web.sum, 'port': str(free_port())}
        return linux(name, kernel=kernel, initrd=f'{kernel}-virtio', files=files, act=act,
                     command=f'{UP}; {command}',
                     want=(r'dhcp: 10\.0\.2\.15/.* router 10\.0\.2\.2',) + want,
                     options=('-n', net) + tuple(options), **more)

    def tapped(name, command, **more):
        def files(work, artifacts):
            web = Web('192.168.77.1')
            return {'web': str(web.server_address[1]), 'sum': web.sum}

        def knock_there(process, read, files):
            if read('serving'):
                files['answer'] = fetch(80, host='192.168.77.2')

        def both(text, artifacts):
            has_sum(text, artifacts)
            answered(text, artifacts)
        return linux(name, initrd='cloud-virtio', files=files, act=knock_there, after=both,
                     need=('tap',), options=('-n', 'tap,ifname={tap}'),
                     command='ip link set lo up; ip addr add 192.168.77.2/24 dev eth0; '
                             f'ip link set eth0 up; {command}', **more)

    def has_sum(text, artifacts):
        if artifacts['sum'] not in text:
            raise Failure('what the guest fetched is not what the server gave')

    def features(text):
        return (f'for d in /sys/bus/virtio/devices/*; do echo features $(basename $d) '
                f'$(cat $d/features); done; {text}')

    def blank(work, artifacts):
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', f'{work}/one.qcow2', '16M'], check=True)
        subprocess.run(['truncate', '-s', '16M', f'{work}/two.raw'], check=True)
        return {'one': f'{work}/one.qcow2', 'two': f'{work}/two.raw'}

    def equal(text, artifacts):
        check_image(artifacts['one'])
        result = qemu_img('compare', artifacts['one'], artifacts['two'])
        if result.returncode:
            raise Failure(f'qemu-img compare: {result.stdout}{result.stderr}')

    def written(keys, seed, cpus=1):
        """Random writers, the same on both formats; disk_writer.c."""
        return linux(f'random writers, {keys}, {cpus} vCPU', initrd='cloud-virtio', cpus=cpus,
                     command=f'/disk_writer {seed} 1000 /dev/vda /dev/vdb', files=blank, after=equal,
                     options=['-d', '{one},' + keys, '-d', '{two},' + keys],
                     want=('disk_writer: ok', 'guest: .* status 0'))

    def unchanged(text, artifacts):
        with open(artifacts['disk'], 'rb') as one, open(artifacts['root'], 'rb') as other:
            if one.read() != other.read():
                raise Failure('the image was written')

    def counted(text, artifacts):
        read_back(text, artifacts)
        with open(f'{artifacts["work"]}/out/result.json') as file:
            disk = json.load(file)['disks'][0]
        if disk['written_bytes'] < DATA_BYTES or not disk['flushes'] or disk['errors']:
            raise Failure(f'counted {disk}')

    def whole(text, artifacts):
        check_image(artifacts['disk'])

    def knock(process, read, files):
        if read('serving'):
            files['answer'] = fetch(int(files['port']))

    def answered(text, artifacts):
        if 'page of the guest' not in artifacts.get('answer', ''):
            raise Failure(f'through the forward came {artifacts.get("answer")!r}')

    def debian_files(work, artifacts):
        disk = f'{work}/over.qcow2'
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b',
                        artifacts['debian'], disk], check=True)
        key = f'{work}/id'
        shutil.copy(artifacts['debian-key'], key)
        os.chmod(key, 0o600)
        web = Web()
        return {'disk': disk, 'key': key, 'web': str(web.server_address[1]), 'sum': web.sum,
                'port': str(free_port())}

    def log_in(process, read, files):
        """By ssh through the forward: what the guest has, what it can reach, then its end."""
        remote = ('systemctl is-system-running --wait; ip -4 -br address; '
                  f'exec 3<>/dev/tcp/10.0.2.2/{files["web"]}; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; '
                  'sed "1,/^\\r$/d" <&3 | sha256sum; echo note >/root/note; systemctl poweroff')
        command = ['ssh', '-q', '-i', files['key'], '-p', files['port'], '-o',
                   'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o',
                   'ConnectTimeout=20', '-o', 'BatchMode=yes', 'root@127.0.0.1', remote]
        files['answer'] = ''
        end = time.monotonic() + DEBIAN_LIMIT_S - 60
        while process.poll() is None and time.monotonic() < end and not files['answer']:
            files['answer'] = subprocess.run(command, capture_output=True, text=True,
                                             stdin=subprocess.DEVNULL, check=False).stdout
            time.sleep(1)

    def logged_in(text, artifacts):
        check_image(artifacts['disk'])
        answer = artifacts['answer']
        if not re.search(r'10\.0\.2\.15/24', answer) or artifacts['sum'] not in answer:
            raise Failure(f'over ssh came {answer!r}')

    def small_files(work, artifacts):
        """The image on a file system that has room for a part of what the guest will write."""
        subprocess.run(['mkdir', '-p', SMALL], check=True)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'small', SMALL], check=True)
        disk = f'{SMALL}/disk.raw'
        subprocess.run(['cp', '--sparse=always', artifacts['root'], disk], check=True)
        room = os.statvfs(SMALL).f_bavail * os.statvfs(SMALL).f_bsize
        with open(f'{SMALL}/filler', 'wb') as file:
            file.write(bytes(room - (DATA_BYTES >> 1)))
        return {'disk': disk}

    def make_room(process, read, files):
        if read('.*No space left on device; the disk waits.*'):
            time.sleep(3)  # for a trial that fails
            os.unlink(f'{SMALL}/filler')

    def small_after(text, artifacts):
        try:
            read_back(text, artifacts)
        finally:
            subprocess.run(['umount', '-l', SMALL], check=False)

    def stop_twice(process, read, files):
        if read('writing'):
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)

    fetch_page = 'echo sum=$(wget -q -O - http://10.0.2.2:{web}/ | sha256sum)'
    fetch_tap = 'echo sum=$(wget -q -O - http://192.168.77.1:{web}/ | sha256sum)'
    queues = 'echo queues $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)'
    serve = 'mkdir -p /www; echo page of the guest >/www/index.html; httpd -h /www; echo serving; '
    # Bit 32: a modern driver; 34: packed rings.
    split, packed = r'features virtio\d [01]{32}1[01]0', r'features virtio\d [01]{32}1[01]1'
    both = features(f'{UP}; {WRITE}')
    endless = ('echo writing; i=0; while true; do dd if=/dev/urandom of=/data bs=64k count=64 '
               'conv=fsync 2>/dev/null; i=$((i + 1)); echo wrote $i; done')
    look = ('echo serial $(cat /sys/block/vda/serial) queues $(ls /sys/block/vda/mq | wc -l) '
            'sectors $(cat /sys/block/vdb/size) ro $(cat /sys/block/vdb/ro) '
            'cache $(cat /sys/block/vda/queue/write_cache); '
            'dd if=/dev/zero of=/dev/vdb count=1 2>/dev/null || echo refused')
    again = f'[ -e /note ] && {{ cat /note; true; }} || {{ {WRITE}; sync; reboot -f; sleep 9; }}'
    full = [linux('a full host keeps the disk waiting', initrd='cloud-virtio', command=WRITE,
                  files=small_files, act=make_room, after=small_after, need=('root',),
                  options=('-d', '{disk}'), append='root=/dev/vda',
                  want=('the disk waits', 'the disk goes on', 'root status 0'))]
    # It needs a file system of its own, which only the lab lets it have.
    return (full if os.environ.get('LODGE_LAB') else []) + [
        rooted('root on a raw disk', form='raw'),
        rooted('root on a qcow2 disk'),
        # No words but these: kernel, initrd, disk.
        Case('root on a disk, no command line given', ['-m', '256', '-k', '{cloud}', '-i',
                                                       '{cloud-virtio}', '-d', '{disk}'],
             need=('cloud', 'cloud-virtio', 'root'), files=copy_root('qcow2'), after=read_back,
             want=('root status 0',)),
        rooted('root and network, 4 vCPUs, split rings, counters', cpus=4, memory_mib=512,
               command=both, after=counted, options=('--report', '{work}/out', '-n', 'user'),
               want=('root status 0', r'dhcp: 10\.0\.2\.15', split)),
        rooted('root and network, 2 vCPUs, packed rings', cpus=2, memory_mib=512, command=both,
               disk='{disk},packed=on', options=('-n', 'user,packed=on'),
               want=('root status 0', r'dhcp: 10\.0\.2\.15', packed)),
        rooted('root and network, backports, packed rings', kernel='backports', memory_mib=512,
               command=both, disk='{disk},packed=on', options=('-n', 'user,packed=on'),
               want=('root status 0', r'dhcp: 10\.0\.2\.15', packed)),
        rooted('root and network, legacy drivers', append='virtio_pci.force_legacy=1',
               command=both, options=('-n', 'user'),
               want=('root status 0', r'dhcp: 10\.0\.2\.15', r'features virtio\d [01]{32}0')),
        rooted('root on a disk, no MSI', append='pci=nomsi'),
        rooted('root on a disk, ephemeral', form='raw', disk='{disk},ephemeral', after=unchanged),
        rooted('two disks, serial number, read-only, 4 queues', cpus=4, memory_mib=512,
               command=look, disk='{disk},serial=LODGE-1', options=('-d', '{root},ro'), after=whole,
               want=('serial LODGE-1 queues 4 sectors 65536 ro 1 cache write back', 'refused')),
        written('aio=io_uring', 1, cpus=2),
        written('aio=threads,packed=on', 2),
        rooted('a reset keeps what was written', command=again,
               want=('data=', 'written', 'root status 0'), after=read_back),
        rooted('panic leaves a whole image', command=f'{WRITE}; echo c >/proc/sysrq-trigger',
               status=96, forbid=False, after=whole, want=('data=',)),
        rooted('an end in the middle of writing leaves a whole image', command=endless,
               forbid=False, options=('--until', 'wrote 5'), after=whole, want=('writing',)),
        rooted('SIGTERM twice leaves a whole image', command=endless, status=128 + signal.SIGTERM,
               forbid=False, act=stop_twice, after=whole, want=('writing',)),
        networked('network: DHCP, TCP to the host', fetch_page, after=has_sum),
        Case('Debian on a disk: login, DHCP, TCP out, ssh in', [
            '-m', '512', '-k', '{debian-kernel}', '-i', '{debian-initrd}', '-d',
            '{disk},backing={debian}', '-n', 'user,fwd={port}:22'], need=('debian',),
            files=debian_files, act=log_in, after=logged_in, want=('lodge login:',), forbid=False,
            limit=DEBIAN_LIMIT_S),
        tapped('network: a tap, TCP in and out', f'{fetch_tap}; {serve} sleep 3'),
        tapped('network: a tap with two queues', f'{fetch_tap}; {queues}; {serve} sleep 3', cpus=2,
               memory_mib=512, want=('queues 2',)),
        networked('network: TCP in through a forward', serve + 'sleep 3', act=knock,
                  net='user,fwd={port}:80', after=answered),
    ]

# SPDX-License-Identifier: GPL-2.0-or-later
"""
Boot cases in which fio(1) writes to disks of each engine, format and cache mode at once and reads
back what it wrote; then qemu-img checks the images, and fio on this side reads them too.
"""
import json
import os
import re
import shutil
import subprocess

DISK_BYTES = 6 << 20
IMAGE_BYTES = 160 << 20  # fio's libraries are large
PLACE = '/run/lodge-verify'
CACHES = ('writeback', 'none', 'writethrough', 'directsync', 'unsafe')
DIRECT = ('none', 'directsync')  # of libaio
DURABLE = ('writethrough', 'directsync')  # without a write cache, so the guest never flushes

# The same in the guest and here: the order of the jobs is a part of what is written.
JOB = f'''[global]
rw=randwrite
bsrange=4k-64k
blockalign=4k
size={DISK_BYTES}
randseed=1
verify=crc32c
verify_fatal=1
fsync=32
thread=1
'''
COMMAND = '''cp /etc/job.fio /tmp/job.fio
for disk in /dev/vd[b-z]; do printf '[%s]\\nfilename=%s\\n' $disk $disk; done >>/tmp/job.fio
cd /tmp
fio --eta=never --ioengine=libaio --direct=1 --iodepth=16 --output=/tmp/fio /tmp/job.fio
status=$?
grep -c 'err= 0' /tmp/fio | sed 's/^/verified /'
[ $status = 0 ] || cat /tmp/fio
exit $status
'''


def libraries(program):
    """Where the loader finds what program needs, itself included."""
    text = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    return re.findall(r'(/\S+) \(0x', text)


def prepare(folder, found, reasons):
    """Adds to found: fio, a raw image like root with fio and a command that runs it."""
    program = shutil.which('fio')
    if not program or 'root' not in found:
        reasons['fio'] = 'fio is not installed'
        return
    tree, image = f'{folder}/fio', f'{folder}/fio.raw'
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(f'{folder}/root', tree, symlinks=True)
    shutil.copy(program, f'{tree}/bin/fio')
    for path in libraries(program):
        os.makedirs(os.path.dirname(tree + path), exist_ok=True)
        shutil.copy(path, tree + path)
    for name, text in (('job.fio', JOB), ('command', COMMAND)):
        with open(f'{tree}/etc/{name}', 'w') as file:
            file.write(text)
    if os.path.exists(image):
        os.unlink(image)
    mke2fs = shutil.which('mke2fs') or '/sbin/mke2fs'
    subprocess.run([mke2fs, '-q', '-t', 'ext4', '-d', tree, image, f'{IMAGE_BYTES >> 20}M'],
                   check=True)
    found['fio'] = image


def make_place():
    """A file system with direct I/O; the lab's own files are in memory without it."""
    if not os.environ.get('LODGE_LAB'):
        return None
    for module in ('loop', 'crc32c_generic', 'ext4'):
        subprocess.run(['busybox', 'modprobe', module], check=True)
    subprocess.run(['truncate', '-s', '1G', '/tmp/verify.ext4'], check=True)
    subprocess.run([shutil.which('mke2fs') or '/sbin/mke2fs', '-q', '-t', 'ext4', '-O',
                    '^has_journal', '/tmp/verify.ext4'], check=True)
    os.makedirs(PLACE, exist_ok=True)
    subprocess.run(['mount', '-o', 'loop', '/tmp/verify.ext4', PLACE], check=True)
    return PLACE


def end_place():
    subprocess.run(['umount', '-l', PLACE], check=False)
    os.unlink('/tmp/verify.ext4')


def cases(linux, Failure):
    def disks(engines):
        return [(engine, form, cache) for engine in engines for form in ('raw', 'qcow2')
                for cache in (DIRECT if engine == 'libaio' else CACHES)]

    def path_of(place, disk):
        return f'{place}/{"-".join(disk)}.{disk[1]}'

    def make(engines):
        def files(work, artifacts):
            place = make_place() or work
            for disk in disks(engines):
                subprocess.run(['qemu-img', 'create', '-q', '-f', disk[1], path_of(place, disk),
                                str(DISK_BYTES)], check=True)
            return {'place': place}
        return files

    def look(engines, artifacts):
        place, job = artifacts['place'], artifacts['work'] + '/job.fio'
        with open(job, 'w') as file:
            file.write(JOB)
            for number, disk in enumerate(disks(engines)):
                image = raw = path_of(place, disk)
                if disk[1] == 'qcow2':
                    result = subprocess.run(['qemu-img', 'check', image], capture_output=True,
                                            text=True, check=False)
                    if result.returncode:
                        raise Failure(f'qemu-img check {image}: {result.stdout}{result.stderr}')
                    raw = image + '.raw'
                    subprocess.run(['qemu-img', 'convert', '-O', 'raw', image, raw], check=True)
                name = f'/dev/vd{chr(ord("b") + number)}'
                file.write(f'[{name}]\nfilename={raw}\n')
        result = subprocess.run(['fio', '--ioengine=psync', '--verify_only', job],
                                capture_output=True, text=True, check=False)
        if result.returncode:
            raise Failure(f'fio on this side: {result.stdout[-600:]}{result.stderr[-600:]}')
        with open(artifacts['work'] + '/out/result.json') as file:
            told = json.load(file)['disks'][1:]
        for disk, one in zip(disks(engines), told, strict=True):
            flushes = disk[2] not in DURABLE
            if one['engine'] != disk[0] or one['errors'] or bool(one['flushes']) != flushes:
                raise Failure(f'{disk}: {one}')

    def check(engines):
        def after(text, artifacts):
            try:
                look(engines, artifacts)
            finally:
                if artifacts['place'] == PLACE:
                    end_place()
        return after

    def verified(*engines):
        options = ['-d', '{fio},ephemeral', '--report', '{work}/out']
        for disk in disks(engines):
            options += ['-d', f'{path_of("{place}", disk)},cache={disk[2]},aio={disk[0]}']
        count = len(disks(engines))
        return linux(f'fio verifies {count} disks, {" and ".join(engines)}', initrd='cloud-virtio',
                     need=('fio',), cpus=2, memory_mib=512, append='root=/dev/vda',
                     files=make(engines), after=check(engines), options=options,
                     want=('root status 0', rf'verified {count}'))

    return [verified('io_uring'), verified('threads', 'libaio')]

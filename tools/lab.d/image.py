# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the lab's machine is made of: its kernel and that one's modules, the host's programs, the
archive that it starts from, and the folder where all this is kept.
"""
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))

# The generic kernel is used because the cloud kernel has no 9p.
MODULES = 'kvm-amd virtio_pci virtio_console 9p 9pnet_virtio overlay'.split()
HELPERS = ('lab-count', 'lab-paging')  # of this folder, found in the lab's PATH


class LabError(Exception):
    """The lab itself failed: status 125 with this text."""


def cache_folder():
    candidates = [os.environ.get('XDG_CACHE_HOME'),
                  os.path.join(os.environ['HOME'], '.cache') if os.environ.get('HOME') else None,
                  f'/var/tmp/cache-{os.getuid()}']
    for base in filter(None, candidates):
        folder = os.path.join(base, 'lodge', 'lab')
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise LabError('no folder to keep the machine in (tried XDG_CACHE_HOME, ~/.cache, /var/tmp)')


def guest_tool(*arguments):
    """tools/guest knows where kernels come from; its messages go to our stderr."""
    result = subprocess.run([os.path.join(os.path.dirname(HERE), 'guest'), *arguments],
                            stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise LabError(f'no kernel for the lab (tools/guest {" ".join(arguments)})')
    return result.stdout.strip()


def kernel_paths():
    """(vmlinuz, modules folder), without starting tools/guest when they are in the cache."""
    folder = os.path.join(os.path.dirname(cache_folder()), 'kernel-generic')
    if not os.path.exists(os.path.join(folder, 'modules')):
        guest_tool('kernel', 'generic')
    return (os.path.realpath(os.path.join(folder, 'vmlinuz')),
            os.path.realpath(os.path.join(folder, 'modules')))


def program(name, package):
    path = shutil.which(name)
    if not path:
        raise LabError(f'{name} is missing: install the package {package}, or run tools/setup lab')
    return path


def cpio_entry(name, mode, data=b'', number=[1]):
    """One member of a "newc" archive."""
    number[0] += 1
    path = name.encode() + b'\0'
    fields = (number[0], mode, 0, 0, 1, 1, len(data), 0, 0, 0, 0, len(path), 0)
    head = b'070701' + b''.join(b'%08x' % field for field in fields) + path
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)


def module_files(modules):
    """Paths of MODULES and of all they need, in the order in which they can be inserted."""
    needs, paths, order = {}, {}, []
    with open(os.path.join(modules, 'modules.dep')) as file:
        for line in file:
            path, _, others = line.partition(':')
            needs[path] = others.split()
            paths[os.path.basename(path).split('.')[0].replace('-', '_')] = path

    def take(path):
        for other in needs[path]:
            if other not in order:
                take(other)
        if path not in order:
            order.append(path)

    for name in MODULES:
        take(paths[name.replace('-', '_')])
    return [os.path.join(modules, path) for path in order]


def initramfs(modules, busybox):
    """The lab's own archive: busybox, modules, init. Uncompressed: it is read once a state."""
    order = module_files(modules)
    parts = [cpio_entry(name, 0o040755) for name in
             ('applets', 'bin', 'dev', 'proc', 'sys', 'modules', 'lower', 'upper', 'new')]
    with open(busybox, 'rb') as file:
        parts.append(cpio_entry('bin/busybox', 0o100755, file.read()))
    with open(os.path.join(HERE, 'init'), 'rb') as file:
        parts.append(cpio_entry('init', 0o100755, file.read()))
    for name in HELPERS:
        with open(os.path.join(HERE, name), 'rb') as file:
            parts.append(cpio_entry(f'applets/{name}', 0o100755, file.read()))
    for path in order:
        with open(path, 'rb') as file:
            parts.append(cpio_entry(f'modules/{os.path.basename(path)}', 0o100644, file.read()))
    names = ''.join(os.path.basename(path) + '\n' for path in order)
    parts.append(cpio_entry('modules/order', 0o100644, names.encode()))
    parts.append(cpio_entry('TRAILER!!!', 0))
    return b''.join(parts)


def tsc_khz(deterministic):
    """How fast the machine's time stamp counter runs, 0 if unknown: TCG hands on the host's."""
    if deterministic:
        return 1000000
    with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
        text = file.read()
    found = re.search(r'^cpu MHz\s*: ([0-9.]+)', text, re.M)
    return int(float(found[1]) * 1000) if found and 'tsc_known_freq' in text else 0


def kernel_arguments(options):
    # Measured on a busy host, the frequency would be wrong, and with it every clock in the lab.
    khz = tsc_khz(options.deterministic)
    return ('console=ttyS0 quiet panic=-1 tsc=reliable cryptomgr.notests' +
            (f' tsc_early_khz={khz}' if khz else ''))

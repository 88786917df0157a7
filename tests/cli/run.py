#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The lodge command as a user sees it: exit statuses, one line on stderr, nothing left behind.

    tests/cli/run.py [build/lodge]

Prints TAP. Each row gets an empty folder as working directory, home and place for temporary files;
a run that does not start gets a second. Only guest_rows() needs KVM, for guests of a few
instructions; without KVM it is skipped.
"""
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

LODGE = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else 'build/lodge')
LIMIT = 1.0 if 'asan' not in LODGE else 3.0

results = []


def read_folder(path):
    files = {}
    for name in os.listdir(path):
        with open(path + '/' + name, errors='replace') as f:
            files[name] = f.read()
    return files


class Run:
    """One run of lodge in an empty folder."""

    def __init__(self, args, before=None, after=None, keep=(), **popen):
        with tempfile.TemporaryDirectory(prefix='lodge-cli-') as folder:
            if before:
                before(folder)
            here = sorted(os.listdir(folder))
            env = dict(os.environ, HOME=folder, TMPDIR=folder, XDG_CACHE_HOME=folder + '/cache',
                       XDG_RUNTIME_DIR=folder)
            popen.setdefault('stdin', subprocess.DEVNULL)
            popen.setdefault('stdout', subprocess.PIPE)
            popen.setdefault('stderr', subprocess.PIPE)
            started = time.monotonic()
            process = subprocess.Popen([LODGE] + args, cwd=folder, env=env, **popen)
            if after:
                after(process)
            try:
                out, err = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            self.seconds = time.monotonic() - started
            self.status = process.returncode
            self.out = (out or b'').decode(errors='replace')
            self.err = (err or b'').decode(errors='replace')
            self.left = sorted(set(os.listdir(folder)) - set(here))
            self.kept = {d: read_folder(folder + '/' + d) for d in keep}


def row(name, ok, why=''):
    results.append(bool(ok))
    print(f'{"ok" if ok else "not ok"} {len(results)} - {name}')
    if not ok and why:
        print('\n'.join('  # ' + line for line in str(why).split('\n')))


def refused(name, args, status, *texts, before=None, **popen):
    """A run that does not start: its status, one line with each of the texts, no trace."""
    r = Run(args, before=before, **popen)
    problems = []
    if r.status != status:
        problems.append(f'status {r.status}, wanted {status}')
    if not re.fullmatch(r'lodge: [^\n]+\n', r.err):
        problems.append('stderr is not one line "lodge: ...": ' + repr(r.err))
    problems += [f'{t!r} is missing in {r.err!r}' for t in texts if t not in r.err]
    if r.out:
        problems.append('stdout: ' + repr(r.out))
    if r.left:
        problems.append('left behind: ' + ' '.join(r.left))
    if r.seconds > LIMIT:
        problems.append(f'took {r.seconds:.2f} s')
    row(name, not problems, '\n'.join(problems))


def succeeds(name, args, check=lambda r: True, **popen):
    r = Run(args, **popen)
    row(name, r.status == 0 and not r.err and not r.left and r.seconds <= LIMIT and check(r),
        f'status {r.status}, {r.seconds:.2f} s, left {r.left}\n{r.out}{r.err}')


def usage_rows():
    refused('no command', [], 64, 'a command is missing')
    refused('unknown command', ['boot'], 64, "'boot'", 'lodge help')
    refused('nearest command', ['rnu'], 64, 'did you mean lodge run?')
    refused('option before the command', ['-m', '1G'], 64, 'lodge run -m')
    refused('empty command', [''], 64, "''")
    refused('ctl', ['ctl', 'x', 'quit'], 64, 'ctl: not in this version')
    refused('test', ['test', 'x'], 64, 'test: not in this version')
    refused('run: no kernel', ['run'], 64, '--kernel: missing')
    refused('run: unknown option', ['run', '--kernle', 'x'], 64, '--kernle', '--kernel?')
    refused('run: unknown letter', ['run', '-z'], 64, '-z: unknown option')
    refused('run: no value', ['run', '-k'], 64, '--kernel: needs a value')
    refused('run: bad size', ['run', '-kx', '-m', '640K'], 64, '--memory', '1M to 1023G')
    refused('run: bad number', ['run', '-kx', '-c', '256'], 64, '--cpus', '1 to 255')
    refused('run: disk', ['run', '-kx', '-d', 'a.img'], 64, '--disk: not in this version')
    refused('run: command', ['run', '-kx', '--', 'ls'], 64, 'COMMAND', 'not in this version')
    refused('run: stray word', ['run', 'vmlinuz'], 64, "'vmlinuz'", '--kernel')
    refused('run: hostile value', ['run', '-c', '1\nlodge: \x1b[2Jfine'], 64, '--cpus')
    refused('run: bytes that are no UTF-8', ['run', b'--\xff\xfe'], 64, 'unknown option')
    refused('run: 10,000 options', ['run'] + ['-c', '2'] * 5000 + ['-c', '0'], 64, '--cpus')
    refused('doctor: argument', ['doctor', '--yaml'], 64, 'doctor')
    refused('doctor: two arguments', ['doctor', '--json', 'x'], 64, 'doctor')
    refused('config: nothing', ['config'], 64, 'check or dump')
    refused('config: wrong', ['config', 'chekc'], 64, 'check or dump')
    refused('config check: bad', ['config', 'check', '-k', 'x', '-m', '1k1'], 64, '--memory')
    refused('version: argument', ['version', 'x'], 64, 'version')
    refused('help: unknown', ['help', 'rum'], 64, 'did you mean lodge run?')
    refused('help: two', ['help', 'run', 'run'], 64, 'help')


def word_rows():
    succeeds('help', ['help'], lambda r: 'Commands:' in r.out)
    succeeds('--help', ['--help'], lambda r: 'Commands:' in r.out)
    succeeds('-h', ['-h'], lambda r: 'Commands:' in r.out)
    narrow = lambda r: max(map(len, r.out.split('\n'))) <= 80
    succeeds('run --help', ['run', '--help'], lambda r: '--memory SIZE' in r.out and narrow(r))
    succeeds('run -h after others', ['run', '-m1G', '-h'], lambda r: 'Usage: lodge run' in r.out)
    succeeds('help run', ['help', 'run'], lambda r: '--memory SIZE' in r.out)
    succeeds('help doctor', ['help', 'doctor'], lambda r: 'lodge doctor [--json]' in r.out)
    succeeds('doctor --help', ['doctor', '--help'], lambda r: 'Usage: lodge doctor' in r.out)
    one = lambda r: re.fullmatch(r'lodge \d+\.\d+\.\d+, (KVM API \d+ \(kvm\w*\)|no KVM)\n', r.out)
    succeeds('version', ['version'], one)
    succeeds('--version', ['--version'], one)
    succeeds('config check', ['config', 'check', '-k', 'x'], lambda r: r.out == '')
    succeeds('config dump', ['config', 'dump', '-k', 'x', '-m', '2G'],
             lambda r: 'memory: 2G\n' in r.out and 'kernel: x\n' in r.out)


def dump_rows():
    """What dump prints is YAML with the values that were given."""
    try:
        import yaml
    except ImportError:
        row('config dump is YAML # SKIP no python3-yaml', True)
        return
    given = ['off', '1.5', 'a: b', '"', "it's", '\\', 'tab\there', '- x', '#', '', '~', '0x10', 'ü']
    args = [part for text in given if text for part in ('-i', text)]
    r = Run(['config', 'dump', '-k', 'no', '-a', 'x "y" \\z', '-c', '3'] + args)
    dumped = yaml.safe_load(r.out)
    row('config dump is YAML', dumped['initrd'] == [t for t in given if t] and
        dumped['kernel'] == 'no' and dumped['append'] == 'x "y" \\z' and dumped['cpus'] == 3, r.out)


def doctor_rows():
    r = Run(['doctor'])
    row('doctor: last line says what runs', r.status in (0, 69, 77) and not r.err and
        r.out.rstrip().split('\n')[-1].startswith('this host '), r.out + r.err)
    row('doctor: quick', r.seconds < LIMIT, r.seconds)
    j = Run(['doctor', '--json'])
    if 'libjansson' in j.err:
        row('doctor --json # SKIP no libjansson4', True)
        return
    found = json.loads(j.out)
    row('doctor --json: same verdict', found['status'] == r.status == j.status and
        found['runs'] in ('any', 'small', 'none') and found['text'] in r.out, j.out)
    row('doctor --json: each check', all(c['level'] in ('ok', 'note', 'problem') and c['text']
                                         for c in found['checks']), j.out)
    problems = [c for c in found['checks'] if c['level'] == 'problem']
    row('doctor: problems and only they keep guests from running',
        bool(problems) == (found['runs'] == 'none'), j.out)
    row('doctor: nothing left behind', not r.left and not j.left, r.left + j.left)


def host_rows():
    """Hosts without KVM, made of this one; needs root and a mount name space."""
    def inside(setup, *args):
        script = f'{setup} && exec "$0" "$@"'
        return subprocess.run(['unshare', '-m', 'sh', '-c', script, LODGE, *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              encoding='utf-8')

    bind = 'mount --bind /dev/null /dev/kvm'
    if (os.getuid() or not os.path.exists('/dev/kvm') or
            subprocess.run(['unshare', '-m', 'sh', '-c', bind], stderr=subprocess.DEVNULL,
                           check=False).returncode):
        row('hosts without KVM # SKIP no root, no mount name space or no /dev/kvm', True)
        return
    r = inside(bind, 'doctor')
    row('doctor: /dev/kvm is no KVM', r.returncode == 69 and 'not a KVM device' in r.stdout and
        'cannot run guests' in r.stdout, r.stdout)
    empty = 'mount -t tmpfs none /dev'
    r = inside(empty, 'doctor')
    row('doctor: no /dev/kvm', r.returncode == 69 and 'no KVM on this host' in r.stdout and
        'mend:' in r.stdout, r.stdout)
    r = inside(empty, 'version')
    row('version: no /dev/kvm', r.returncode == 0 and 'no KVM' in r.stdout, r.stdout)
    with tempfile.TemporaryDirectory() as folder:
        make_kernel(folder, multiboot(HANG))
        r = inside(empty, 'run', '-k', folder + '/kernel', '--serial', 'null')
        row('run: no /dev/kvm', r.returncode == 69 and re.fullmatch(
            r'lodge: /dev/kvm: [^\n]+\n', r.stderr), f'{r.returncode} {r.stderr}')
        r = inside(bind, 'run', '-k', folder + '/kernel', '--serial', 'null')
        row('run: /dev/kvm is no KVM', r.returncode == 69 and re.fullmatch(
            r'lodge: /dev/kvm: [^\n]+\n', r.stderr), f'{r.returncode} {r.stderr}')
    if not os.stat('/dev/kvm').st_mode & 0o006:
        r = Run(['doctor'], user=65534, group=65534, extra_groups=[])
        row('doctor: permission denied', r.status == 77 and 'usermod -aG kvm' in r.out, r.out)


def document_rows():
    """The generated page and completions, where they were built."""
    built = os.path.dirname(LODGE)
    page, bash = built + '/man/lodge.1', built + '/completion/lodge.bash'
    if not os.path.exists(page) or not os.path.exists(bash):
        row('generated documents # SKIP not built', True)
        return
    names = re.findall(r'--([a-z][a-z-]+)', Run(['run', '--help']).out)
    with open(page, encoding='utf-8') as f:
        text = f.read().replace('\\-', '-')
    row('the man page has each option', len(names) > 25 and
        all(f'--{n}' in text for n in names) and '@' not in text, names)
    if shutil.which('groff'):
        r = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', page], capture_output=True,
                           check=False)
        row('the man page is well formed', not r.stderr and not r.returncode, r.stderr)
    script = ('compopt() { :; }; . "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lodge; '
              'echo "${COMPREPLY[@]}"')
    for words, wanted in (('lodge ver', 'version'), ('lodge run --ker', '--kernel'),
                          ('lodge config d', 'dump'), ('lodge run --serial = p', 'pty'),
                          ('lodge run -m ', ''), ('lodge run --disk', '')):
        r = subprocess.run(['bash', '-c', script, bash, *words.split(' ')], capture_output=True,
                           encoding='utf-8', check=False)
        row(f'bash completes: {words}', r.stdout == wanted + '\n', r.stdout + r.stderr)


def make_kernel(folder, content=b'not a kernel'):
    with open(folder + '/kernel', 'wb') as f:
        f.write(content)


def input_rows():
    dry = ['run', '--dry-run', '-k']
    refused('kernel missing', dry + ['missing'], 66, 'missing')
    refused('kernel missing, no dry run', ['run', '-k', 'missing'], 66, 'missing')
    refused('kernel below a file', dry + ['kernel/x'], 66, 'kernel/x', before=make_kernel)
    refused('kernel is no kernel', dry + ['kernel'], 65, 'kernel', before=make_kernel)
    refused('kernel empty', dry + ['kernel'], 65, 'kernel', before=lambda d: make_kernel(d, b''))
    refused('initrd missing', dry + ['kernel', '-i', 'missing'], 66, 'missing', before=make_kernel)
    refused('name with an escape sequence', dry + ['a\x1b[2J\nb'], 66)
    refused('report: no parent', dry + ['kernel', '--report', 'a/b'], 73, '--report',
            before=make_kernel)
    refused('report: a file is in the way', dry + ['kernel', '--report', 'kernel'], 73, '--report',
            before=make_kernel)
    refused('report: its folder goes again', ['run', '-k', 'missing', '--report', 'out'], 66)
    refused('report: not made by a dry run', dry + ['kernel', '--report', 'out'], 65,
            before=make_kernel)


def stdio_rows():
    def close(*fds):
        return lambda: [os.close(fd) for fd in fds]

    for fds in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)):
        name = ' '.join(map(str, fds))
        r = Run(['run', '-k', 'missing'], preexec_fn=close(*fds))
        row(f'closed at start: {name}', r.status == 66 and not r.left and
            bool(r.err) == (2 not in fds), f'status {r.status} {r.err} {r.left}')
        r = Run(['version'], preexec_fn=close(*fds))
        row(f'version, closed at start: {name}', r.status == 0 and not r.err, r.status)
    with open('/dev/full', 'wb') as full:
        refused('full disk behind stdout', ['help'], 74, 'standard output', stdout=full)
    read_end, write_end = os.pipe()
    os.close(read_end)
    # A reader that went away is no reason to die of SIGPIPE.
    r = Run(['help'], stdout=write_end)
    os.close(write_end)
    row('broken pipe behind stdout', r.status == 74, r.status)


def multiboot(code):
    """A multiboot 1 kernel: 32-bit code at 1 MiB, entered in protected mode without paging."""
    base, header_size = 0x100000, 0x1000
    header = struct.pack('<III', 0x1badb002, 0, -0x1badb002 & 0xffffffff)
    image = header + code
    ehdr = b'\x7fELF\x01\x01\x01' + bytes(9) + struct.pack(
        '<HHIIIIIHHHHHH', 2, 3, 1, base + len(header), 52, 0, 0, 52, 32, 1, 0, 0, 0)
    phdr = struct.pack('<IIIIIIII', 1, header_size, base, base, len(image), len(image), 7, 4096)
    return (ehdr + phdr).ljust(header_size, b'\0') + image


def say(text):
    """Each byte to COM1's data register."""
    return b''.join(b'\x66\xba\xf8\x03\xb0' + bytes([c]) + b'\xee' for c in text.encode())


def out_byte(port, value):
    return b'\x66\xba' + struct.pack('<H', port) + b'\xb0' + bytes([value]) + b'\xee'


HANG = b'\xfa\xf4\xeb\xfd'
TRIPLE_FAULT = b'\x6a\x00\x6a\x00\x0f\x01\x1c\x24\x0f\x0b'  # an empty IDT, then ud2
STACK = b'\xbc\x00\x00\x20\x00'


def guest(name, code, args, status, *texts, console=None, check=None):
    """A guest of a few instructions: how its run ends."""
    def before(folder):
        make_kernel(folder, multiboot(STACK + code + HANG))

    r = Run(['run', '-k', 'kernel', '-m', '8M'] + args, before=before,
            keep=('out', ) if '--report' in args else ())
    problems = []
    if r.status != status:
        problems.append(f'status {r.status}, wanted {status}')
    if status and not re.fullmatch(r'lodge: [^\n]+\n', r.err):
        problems.append('stderr is not one line "lodge: ...": ' + repr(r.err))
    if not status and r.err:
        problems.append('stderr: ' + repr(r.err))
    problems += [f'{t!r} is missing in {r.err!r}' for t in texts if t not in r.err]
    if console is not None and r.out != console:
        problems.append(f'console: {r.out!r}, wanted {console!r}')
    if [f for f in r.left if f not in ('out', 'cache')]:
        problems.append('left behind: ' + ' '.join(r.left))
    if check and not problems and not check(r.kept['out']):
        problems.append(f'report: {r.kept}')
    row(name, not problems, '\n'.join(problems))


def guest_rows():
    if Run(['doctor']).status:
        row('guests # SKIP no KVM', True)
        return
    guest('exit port', say('hello\n') + out_byte(0xf4, 0x10), ['--exit-port'], 33, '0x10',
          console='hello\n')
    guest('exit port elsewhere', out_byte(0x501, 0), ['--exit-port=0x501'], 1)
    guest('triple fault', TRIPLE_FAULT, [], 98, 'triple fault', '0x1000')
    guest('triple fault with a status', TRIPLE_FAULT, ['--on', 'triple-fault=exit:5'], 5)
    guest('time-out', b'', ['--timeout', '200ms'], 124, '0.200 s')
    guest('until', say('boot login: '), ['--until', 'login:', '--timeout', '10'], 0)
    guest('until not reached', out_byte(0xf4, 3), ['--until', 'x', '--exit-port'], 7)
    guest('reset button ends', out_byte(0xcf9, 6), ['--on', 'reboot=exit'], 100, 'rebooted')
    guest('reset button with a status', out_byte(0xcf9, 6), ['--on', 'reboot=exit:0'], 0)
    guest('pvpanic', out_byte(0x505, 1), [], 96, 'panicked')
    guest('power-off by S5', b'\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef', [], 0)

    def whole(files):
        result = json.loads(files['result.json'])
        return (result['status'] == 98 and result['verdict'] == 'triple-fault' and
                result['stopped_at']['vcpu'] == 0 and result['console']['bytes'] == 3 and
                result['kernel']['kind'] == 'multiboot' and result['first_output_s'] > 0 and
                result['config']['memory'] == '8M' and
                result['vcpus'][0]['exits'] > 0 and
                'hi' in files['console.log'] and 'rip' in files['vcpus.txt'].lower() and
                'memory: 8M' in files['config.yaml'] and len(files) == 4)

    guest('report', say('hi\n') + TRIPLE_FAULT, ['--report', 'out'], 98, check=whole)
    signal_rows()


def signal_rows():
    """Signals to a guest that hears no power button."""
    def send(*signals):
        def after(process):
            for number in signals:
                time.sleep(0.3)
                process.send_signal(number)
        return after

    before = lambda folder: make_kernel(folder, multiboot(say('up') + HANG))
    r = Run(['run', '-k', 'kernel', '-m', '8M'], before=before,
            after=send(signal.SIGTERM, signal.SIGTERM))
    row('SIGTERM twice', r.status == 143 and 'SIGTERM' in r.err, f'{r.status} {r.err}')
    r = Run(['run', '-k', 'kernel', '-m', '8M', '--report', 'out'], before=before, keep=('out', ),
            after=send(signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM))
    row('SIGUSR1, then the end', r.status == 143 and
        json.loads(r.kept['out']['result.json'])['status'] == 143, f'{r.status} {r.err}')


def limit_rows():
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))

    def ignore_nothing():
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    refused('no more than the kernel can be opened', ['run', '-k', 'kernel'], 71,
            'Too many open files', before=make_kernel, preexec_fn=few_files)
    refused('default signals', ['run'], 64, '--kernel', preexec_fn=ignore_nothing)


def main():
    usage_rows()
    word_rows()
    dump_rows()
    doctor_rows()
    input_rows()
    host_rows()
    stdio_rows()
    limit_rows()
    document_rows()
    guest_rows()
    print(f'1..{len(results)}')
    return 0 if all(results) else 1


if __name__ == '__main__':
    sys.exit(main())

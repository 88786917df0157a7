#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The boot cases, where a real KVM is: session.py LODGE FOLDER K/N [PATTERN [DONE]]. Started by
tests/boot/run; the first DONE cases were run by an earlier session that hung.

Every case is one or a few lines of the table in cases(). A case runs LODGE once, with a limit, and
checks the status, lines that must and must not be in the output, and whatever its own function
checks. A line of the guest's log at level "warning" or worse fails a case unless BENIGN knows it.
"""
import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import consoles  # noqa: E402
import devices  # noqa: E402
import networks  # noqa: E402
import verify  # noqa: E402

LIMIT_S = 120  # for one run; a boot takes about 2 s in the lab on a machine with nothing else to do

# Messages at level "warning" that any machine without that hardware or feature gets, with reason.
BENIGN = [re.compile(text) for text in (
    r'Spectre V2 : |RETBleed: |RETBLEED: |Speculative Return Stack Overflow|MDS CPU bug|'
    r'TAA CPU bug|MMIO Stale Data|Register File Data|VMSCAPE|Transient Scheduler',  # about the CPU
    r'#[0-9 ]+$',  # the processors' numbers while they start
    r'kvm: no hardware support',
    r'hrtimer: interrupt took',  # a busy machine, not a fault of the guest's
)]
FORBIDDEN = re.compile(r'Firmware Bug|ACPI (BIOS )?(Error|Warning|Exception)|WARNING: CPU|BUG: |'
                       r'Call Trace|Kernel panic|unstable|calibration failed|soft lockup|rcu: INFO|'
                       r'nobody cared|timed out')


class Case:
    def __init__(self, name, options, status=0, need=(), want=(), check=None, append='',
                 forbid=True, act=None, limit=LIMIT_S, paging='nested', files=None, after=None,
                 terminal=None):
        self.name, self.options, self.status = name, options, status
        self.need, self.want, self.check, self.append = need, want, check, append
        self.forbid, self.act, self.limit = forbid, act, limit
        # files(work, artifacts): more artifacts, in an empty folder; after(text, artifacts): checks.
        self.files, self.after = files, after
        self.terminal = terminal  # rows and columns of the one that it runs on; None: on none
        self.paging = paging  # of the lab's KVM (docs/lab.md); a real one needs no such help


class Failure(Exception):
    pass


def value(text, name):
    found = re.search(rf'^{name}=(.*?)\r?$', text, re.M)
    if not found:
        raise Failure(f'the guest did not print {name}=')
    return found.group(1)


def processors(count):
    def check(text):
        if value(text, 'nproc') != str(count):
            raise Failure(f'nproc is {value(text, "nproc")}, not {count}')
    return check


def memory(mib, missing_mib):
    """MemTotal leaves out what the kernel keeps for itself: at most missing_mib."""
    def check(text):
        total = int(value(text, 'memtotal').split()[0]) // 1024
        if not mib - missing_mib <= total <= mib:
            raise Failure(f'MemTotal is {total} MiB of {mib}')
    return check


def release(part):
    def check(text):
        if part not in value(text, 'uname'):
            raise Failure(f'uname -r is {value(text, "uname")}')
    return check


def every(*checks):
    def check(text):
        for one in checks:
            one(text)
    return check


def twice(mark):
    def check(text):
        if text.count(mark) != 2:
            raise Failure(f'"{mark}" was printed {text.count(mark)} times, not twice')
    return check


def press_power(process, read):
    """SIGTERM once the guest listens to its power button."""
    if read('listening'):
        process.send_signal(signal.SIGTERM)


def linux(name, kernel='cloud', initrd='facts', memory_mib=256, cpus=1, command='', options=(),
          append='', **more):
    line = 'console=ttyS0 panic=-1 quiet cryptomgr.notests'
    if command:
        line += f' lodge.command="{command}"'
    need = [kernel] + ([initrd] if initrd else []) + list(more.pop('need', ()))
    arguments = ['-m', f'{memory_mib}', '-c', str(cpus), '-k', '{' + kernel + '}']
    if initrd:
        arguments += ['-i', '{' + initrd + '}']
    return Case(name, arguments + list(options), need=need, append=f'{line} {append}'.strip(),
                **more)


def cases():
    facts = ('facts-end', 'guest: .* status 0')
    boots = [
        linux('cloud 1 vCPU 256 MiB', want=facts,
              check=every(release('cloud-amd64'), processors(1), memory(256, 70))),
        linux('cloud 2 vCPUs', cpus=2, memory_mib=512, want=facts,
              check=every(processors(2), memory(512, 90))),
        linux('cloud 4 vCPUs', cpus=4, memory_mib=512, want=facts, check=processors(4)),
        linux('cloud 16 vCPUs', cpus=16, memory_mib=512, want=facts, check=processors(16),
              limit=140),
        linux('cloud 255 vCPUs, four of them online', cpus=255, memory_mib=1024, append='maxcpus=1',
              command='cd /sys/devices/system/cpu; for c in 128 193 254; do echo 1 >cpu$c/online; '
              'done; echo on $(cat online) of $(cat present)',
              want=('on 0,128,193,254 of 0-254', 'guest: .* status 0'), limit=140),
        linux('cloud 128 MiB', memory_mib=128, want=facts, check=memory(128, 60)),
        linux('cloud 3584 MiB, RAM on both sides of the hole', memory_mib=3584, want=facts,
              check=memory(3584, 200)),
        linux('cloud 6 GiB', memory_mib=6144, want=facts, check=memory(6144, 300)),
        linux('generic', kernel='generic', memory_mib=512, want=facts,
              check=every(release('-amd64'), processors(1))),
        linux('generic 2 vCPUs', kernel='generic', memory_mib=512, cpus=2, want=facts,
              check=processors(2)),
        linux('backports', kernel='backports', memory_mib=512, want=facts,
              check=release('+deb')),
        linux('backports 2 vCPUs', kernel='backports', memory_mib=512, cpus=2, want=facts,
              check=processors(2)),
    ]
    boots += [
        linux(f'i386 686-pae, {cpus} vCPU, {mib} MiB', kernel='i386-pae', initrd='facts-i386',
              memory_mib=mib, cpus=cpus, want=facts, paging='shadow',
              check=every(release('686-pae'), processors(cpus), memory(mib, missing)))
        for cpus, mib, missing in ((1, 128, 40), (2, 512, 40), (4, 4608, 160))]
    formats = [linux(f'kernel as {name}', kernel=name, memory_mib=512, want=facts) for name in (
        'vmlinux', 'vmlinux.gz', 'vmlinux.xz', 'vmlinux.zst', 'vmlinux.lz4', 'bzimage.gz')]
    formats += [
        linux('kernel and ramdisk as FIT', kernel='fit', initrd=None, memory_mib=512, want=facts),
        linux('initrds are concatenated, the last wins', options=('-i', '{second}'),
              need=('second',), want=('second archive',)),
        Case('multiboot, exit port', ['-k', '{multiboot}', '--exit-port'], status=11,
             need=['multiboot'], want=('multiboot guest',)),
        Case('multiboot, triple fault', ['-k', '{multiboot}'], status=98, need=['multiboot'],
             want=('multiboot guest',)),
    ]
    # What a guest finds of the chipset, as goldens.
    look = ('cut -f 1,2 /proc/bus/pci/devices; grep acpi /proc/interrupts; '
            'sed s/^/vendor=/ /sys/class/dmi/id/sys_vendor; '
            'dmesg | grep -e root.bus.resource -e Interrupt.link')
    boots.append(linux('chipset', memory_mib=4096, command=look, want=(
        r'0000\s80861237', r'0008\s80867000', r'000b\s80867113', r'9-fasteoi +acpi',
        'vendor=Lodge', r'io  0x0000-0x0cf7 window', r'io  0x0d00-0xffff window',
        r'mem 0x000a0000-0x000bffff window', r'mem 0xc0000000-0xfebfffff window',
        r'mem 0x140000000-0xfffffffff window',
        'LNKA configured for IRQ 10', 'LNKB configured for IRQ 10', 'LNKC configured for IRQ 11',
        'LNKD configured for IRQ 11', 'LNKS configured for IRQ 9')))
    boots.append(linux('guest without kvmclock', memory_mib=256,
                       options=('--cpu', 'host,-kvmclock'),
                       command='dmesg | grep PM-Timer; dmesg | grep -q kvm-clock || echo no clock',
                       want=('PM-Timer IO Port: 0x608', 'no clock')))
    once = 'if ran-before; then echo again; else echo first; reboot -f; sleep 9; fi'
    listen = ('cd /sys/class/input; e=$(grep -l Power */name | head -n 1); '
              'echo listening; head -c 24 /dev/input/$(ls ${e%/name} | grep ^event) >/dev/null; '
              'echo pressed')
    endings = [
        linux('poweroff', command='true', want=('status 0',)),
        linux('reboot, --on reboot=exit', command='reboot -f; sleep 9', status=100,
              options=('--on', 'reboot=exit')),
        linux('reboot, the default resets', command=once, want=('first', 'again'),
              check=twice('init Linux')),
        linux('reboot by the keyboard controller', command=once, append='reboot=k',
              want=('first', 'again')),
        linux('reboot by port cf9', command=once, append='reboot=p', want=('first', 'again')),
        linux('reboot by ACPI', command=once, append='reboot=a', want=('first', 'again')),
        linux('reboot with 2 vCPUs', cpus=2, command=once, want=('first', 'again')),
        linux('panic', command='echo c >/proc/sysrq-trigger', status=96, forbid=False),
        linux('panic, --on panic=exit:7', command='echo c >/proc/sysrq-trigger', status=7,
              options=('--on', 'panic=exit:7'), forbid=False),
        linux('triple fault', command='reboot -f; sleep 9', append='reboot=t', status=98,
              forbid=False),
        linux('exit port from Linux', command='outb 3; sleep 9', status=7,
              options=('--exit-port',)),
        linux('time-out', command='echo sleeping; sleep 1000', status=124,
              options=('--timeout', '8s'), want=('sleeping',)),
        linux('until a text', command='printf found; echo it; sleep 1000',
              options=('--until', 'foundit')),
        linux('SIGTERM presses the power button', initrd='button', command=listen,
              want=('pressed',), act=press_power),
        linux('SIGTERM presses the power button, SCI by the PIC', initrd='button', command=listen,
              append='noapic', want=('pressed',), act=press_power, forbid=False),
        linux('SIGTERM twice stops', command='echo listening; sleep 1000',
              status=128 + signal.SIGTERM, forbid=False, act=lambda process, read: (
                  read('listening') and [process.send_signal(signal.SIGTERM), time.sleep(0.5),
                                         process.send_signal(signal.SIGTERM)])),
        linux('console input reaches the guest', command='echo listening; read l; echo got-$l',
              want=('got-hello',), act=lambda process, read: (
                  read('listening') and [process.stdin.write(b'hello\n'), process.stdin.flush()])),
        linux('a long kernel log, earlyprintk', append='ignore_loglevel earlyprintk=ttyS0',
              want=facts),
        # Without ACPI, Linux has no way to power this machine off.
        linux('no ACPI', append='acpi=off', want=('status 0',), forbid=False,
              options=('--until', 'reboot: System halted')),
        # The cloud kernel does not read MP tables.
        linux('no ACPI, MP table', kernel='generic', append='acpi=off', cpus=2, memory_mib=512,
              command='echo nproc=$(nproc); cat /proc/interrupts', check=processors(2),
              want=(r'IO-APIC +1-edge +i8042', r'IO-APIC +4-edge +ttyS0', 'status 0'),
              forbid=False, options=('--until', 'reboot: System halted')),
        linux('no APIC', append='noapic', want=('facts-end',), forbid=False),
    ]
    return (boots + formats + endings + devices.cases(linux, Case, Failure) +
            networks.cases(linux, Failure) + consoles.cases(linux, Case, Failure) +
            verify.cases(linux, Failure))


def run_case(case, lodge, artifacts, log_path):
    with tempfile.TemporaryDirectory() as work:
        artifacts = dict(artifacts, work=work, lodge=lodge)
        if case.files:
            artifacts.update(case.files(work, artifacts))
        content = run_lodge(case, lodge, artifacts, log_path)
        if case.after:
            case.after(content, artifacts)


def open_terminal(size, log):
    """A terminal, of which log gets what is shown: our end of it, and what Popen needs."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, size)

    def show():
        try:
            while data := os.read(ours, 4096):
                log.write(data)
                log.flush()
        except (OSError, ValueError):  # it is closed, or log is
            pass

    threading.Thread(target=show, daemon=True).start()
    return ours, {'stdin': theirs, 'stdout': theirs, 'start_new_session': True,
                  'preexec_fn': lambda: fcntl.ioctl(0, termios.TIOCSCTTY)}


def run_lodge(case, lodge, artifacts, log_path):
    def fill_in(text):
        return re.sub(r'\{([\w.-]+)\}', lambda m: artifacts.get(m.group(1), m.group(0)), text)

    command = [lodge, 'run'] + [fill_in(one) for one in case.options]
    if case.append:
        command += ['-a', fill_in(case.append)]
    with open(log_path, 'wb') as log:
        log.write((' '.join(command) + '\n').encode())
        log.flush()
        start = log.tell()
        began = time.monotonic()
        streams = {'stdout': log, 'stdin': subprocess.PIPE if case.act else subprocess.DEVNULL}
        if case.terminal:
            artifacts['terminal'], streams = open_terminal(case.terminal, log)
        process = subprocess.Popen(command, stderr=log, **streams)
        if case.terminal:
            os.close(streams['stdin'])

        def text():
            with open(log_path, 'rb') as file:
                file.seek(start)
                return file.read().decode(errors='replace')

        def read(mark):
            """Wait for a line that is just this word."""
            while process.poll() is None and time.monotonic() - began < case.limit:
                if re.search(rf'^{mark}\r?$', text(), re.M):
                    time.sleep(0.3)
                    return True
                time.sleep(0.1)
            return False

        try:
            if case.act:
                case.act(process, read, **({'files': artifacts} if case.files else {}))
            process.wait(max(1, case.limit - (time.monotonic() - began)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f'still running after {case.limit} s') from None
        finally:
            if process.stdin:
                try:
                    process.stdin.close()
                except OSError:
                    pass
    content = text()
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    if status != case.status:
        raise Failure(f'status {status}, not {case.status}')
    for pattern in case.want:
        if not re.search(pattern, content):
            raise Failure(f'"{pattern}" is not in the output')
    if case.check:
        case.check(content)
    if case.forbid:
        bad = [line for line in content.splitlines()
               if FORBIDDEN.search(line) and 'lodge.command' not in line]
        bad += [line for line in content.splitlines() if line.startswith('severe: ')
                and not any(one.search(line.rstrip()) for one in BENIGN)]
        if bad:
            raise Failure('the guest complains:\n' + '\n'.join(bad[:12]))
    return content


def tail(path):
    with open(path, 'rb') as file:
        return file.read().decode(errors='replace').splitlines()[-8:]


def main():
    lodge, folder = sys.argv[1:3]
    part, parts = map(int, sys.argv[3].split('/'))
    only = sys.argv[4] if len(sys.argv) > 4 else ''
    artifacts, reasons = {}, {}
    with open(os.path.join(folder, 'artifacts')) as file:
        for line in file:
            name, _, path = line.rstrip('\n').partition('=')
            if name.startswith('!'):
                reasons[name[1:]] = path
            else:
                artifacts[name] = path
    devices.make_tap(artifacts, reasons)
    done = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    selected = [case for case in cases() if re.search(only, case.name)][part - 1::parts]
    print('# the session starts', flush=True)
    failed = 0
    paging = 'nested'
    for number, case in list(enumerate(selected, 1))[done:]:
        missing = [name for name in case.need if name not in artifacts]
        if missing:
            print(f'ok {number} - {case.name} # SKIP '
                  f'{reasons.get(missing[0], missing[0] + " could not be made")}', flush=True)
            continue
        path = os.path.join(folder, 'session', re.sub(r'[^a-z0-9]+', '-', case.name.lower()) + '.log')
        if os.environ.get('LODGE_LAB') and case.paging != paging:
            paging = case.paging
            subprocess.run(['lab-paging', paging], check=True)
        began = time.monotonic()
        try:
            run_case(case, lodge, artifacts, path)
        except Failure as failure:
            failed += 1
            print(f'not ok {number} - {case.name}')
            for line in str(failure).splitlines() + ['last lines:'] + tail(path):
                print(f'#   {line}')
            sys.stdout.flush()
            continue
        print(f'ok {number} - {case.name} ({time.monotonic() - began:.1f} s)', flush=True)
    print(f'1..{len(selected)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

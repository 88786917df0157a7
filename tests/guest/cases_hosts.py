# SPDX-License-Identifier: GPL-2.0-or-later
"""
Hosts whose KVM is missing, old or broken (shim.c plays them), and inputs that are refused: the right
status, one line that names what it is about, no VM, nothing left behind.
"""
import os
import re
import signal
import time

from harness import Run, case, expect, table, wait_until

CAPABILITIES = ['USER_MEMORY', 'IRQCHIP', 'PIT2', 'EXT_CPUID', 'IMMEDIATE_EXIT', 'MP_STATE',
                'SET_TSS_ADDR', 'SET_IDENTITY_MAP_ADDR', 'IRQ_ROUTING', 'SIGNAL_MSI']

# (name, rule of the shim, status, pattern of the line)
HOSTS = [
    ('no /dev/kvm', 'open ENOENT', 69, '/dev/kvm.*doctor'),
    ('/dev/kvm without its module', 'open ENODEV', 69, '/dev/kvm'),
    ('/dev/kvm is not permitted', 'open EACCES', 77, '/dev/kvm.*group'),
    ('/dev/kvm is forbidden', 'open EPERM', 77, '/dev/kvm'),
    ('/dev/kvm is a folder', 'open /tmp', 69, '/dev/kvm'),
    ('/dev/kvm is not a device', 'open /dev/null', 69, '/dev/kvm.*KVM_GET_API_VERSION'),
    ('an API too old', 'KVM_GET_API_VERSION 11', 69, 'KVM_GET_API_VERSION.*11'),
    ('an API too new', 'KVM_GET_API_VERSION 13', 69, 'KVM_GET_API_VERSION.*13'),
    *[(f'without {c}', f'KVM_CAP_{c} 0', 69, f'KVM_CAP_{c}') for c in CAPABILITIES],
    ('VMs are taken by another hypervisor', 'KVM_CREATE_VM EBUSY', 69, 'KVM_CREATE_VM'),
    ('no memory for a VM', 'KVM_CREATE_VM ENOMEM', 69, 'KVM_CREATE_VM'),
    ('a vCPU page that is too small', 'KVM_GET_VCPU_MMAP_SIZE 64', 69, 'KVM_GET_VCPU_MMAP_SIZE'),
    ('no supported CPUID', 'KVM_GET_SUPPORTED_CPUID E2BIG', 69, 'KVM_GET_SUPPORTED_CPUID'),
    ('no identity map', 'KVM_SET_IDENTITY_MAP_ADDR EINVAL', 69, 'KVM_SET_IDENTITY_MAP_ADDR'),
    ('no TSS', 'KVM_SET_TSS_ADDR EINVAL', 69, 'KVM_SET_TSS_ADDR'),
    ('no memory slot', 'KVM_SET_USER_MEMORY_REGION EINVAL', 71, 'KVM_SET_USER_MEMORY_REGION'),
    ('no memory slot but the first', 'KVM_SET_USER_MEMORY_REGION EINVAL 1', 71, '_MEMORY_REGION'),
    ('no interrupt controllers', 'KVM_CREATE_IRQCHIP EINVAL', 69, 'KVM_CREATE_IRQCHIP'),
    ('no PIT', 'KVM_CREATE_PIT2 ENOMEM', 69, 'KVM_CREATE_PIT2'),
    ('no vCPU', 'KVM_CREATE_VCPU EINVAL', 69, 'KVM_CREATE_VCPU'),
    ('no second vCPU', 'KVM_CREATE_VCPU EMFILE 1', 69, 'KVM_CREATE_VCPU.*1'),
    ('CPUID is refused', 'KVM_SET_CPUID2 E2BIG', 69, 'KVM_SET_CPUID2'),
    ('registers are refused', 'KVM_SET_SREGS EINVAL', 69, '(?i)registers|KVM_SET_SREGS'),
    ('KVM_RUN faults', 'KVM_RUN EFAULT', 71, r'vCPU \d at 0x[1f]\w+: .*KVM_RUN: '),
    ('KVM_RUN faults after a while', 'KVM_RUN EFAULT 5', 71, r'vCPU \d at 0x[1f]\w+: .*KVM_RUN: '),
    ('KVM_RUN fails', 'KVM_RUN EIO 3', 71, r'vCPU \d at 0x[1f]\w+: .*KVM_RUN: '),
    ('KVM_RUN asks to try again, for ever', 'KVM_RUN EAGAIN 3', 124, 'timeout'),
    ('KVM_RUN is interrupted, for ever', 'KVM_RUN EINTR 3', 124, 'timeout'),
    ('an unknown exit', 'exit 255 3', 104, 'exit reason 255'),
    ('an exit of unknown hardware', 'exit 0', 104, 'unknown hardware exit'),
    ('the processor refuses to enter', 'exit 9', 104, 'refused to enter'),
    ('an internal error', 'exit 17 2', 104, 'internal error|could not run'),
    ('a shutdown', 'exit 8', 98, 'triple fault'),
]

# What a host may lack.
OPTIONAL = ['KVM_CAP_COALESCED_MMIO 0', 'KVM_CAP_COALESCED_PIO 0', 'KVM_CAP_TSC_DEADLINE_TIMER 0',
            'KVM_CAP_IOEVENTFD 0', 'KVM_CAP_IRQFD 0']


@table('host', HOSTS)
def host(room, rule, status, pattern):
    run = room.run_shimmed(rule, 'echo', '-c', '2', '--timeout',
                           '1s' if status == 124 else '30s', '--serial', 'unix:com1')
    run.expect_status(status).expect_line(pattern)
    expect(not room.files(), f'left behind: {room.files()}')


@table('host', [(f'is good enough with {rule}', rule) for rule in OPTIONAL])
def enough(room, rule):
    room.run_shimmed(rule, 'flood 100; pit').expect_status(0).expect_silence().expect_out('pit: ')


@case('host: a fault of one vCPU ends the run while others spin')
def one_of_many(room):
    run = room.run_shimmed('KVM_RUN EFAULT 40', 'smp 3; spin', '-c', '3', '--timeout', '30s')
    run.expect_status(71).expect_line('could not go on|KVM_RUN')


@case('host: takes memory away: a line and a status')
def memory_lost(room):
    run = room.run_shimmed('KVM_RUN SIGBUS 3', 'echo', '-c', '2', '--timeout', '30s')
    run.expect_status(71).expect_line('memory: .*SIGBUS')


# The shim's vCPU can be reached by no signal, as in a page fault on a dead file server.
STUCK = [
    ('time is up', 'KVM_RUN stuck 9', ['--timeout', '2s'], 124, 'vCPU 0 does not stop'),
    ('with a report', 'KVM_RUN stuck/1', ['-c', '2', '--timeout', '2s', '--report', 'report'], 124,
     'vCPU 1 does not stop'),
    ('at a reset', 'KVM_RUN stuck/1', ['-c', '2'], 71, 'could not be started again.*vCPU 1 does'),
]


@table('host: a vCPU is stuck in the kernel', STUCK)
def stuck(room, rule, options, status, pattern):
    words = 'hello;reboot-keyboard' if status == 71 else 'hello;sleep'
    run = room.run_shimmed(rule, words, *options)
    run.expect_status(status).expect_line(pattern).expect_out('h')
    if '--report' in options:
        with open(room.path('report', 'vcpus.txt'), encoding='utf-8') as f:
            expect('does not stop' in f.read(), 'vcpus.txt does not say so')


@case('host: SIGTERM twice ends a run whose vCPU is stuck')
def stuck_sigterm(room):
    run = room.start('hello;sleep', environment=room.shim('KVM_RUN stuck 9'))
    run.wait_output('h')
    run.signal(signal.SIGTERM)
    time.sleep(0.3)
    run.signal(signal.SIGTERM)
    run.finish().expect_status(143).expect_line('does not stop')


@case('host: the report says what KVM said')
def reported(room):
    room.run_shimmed('exit 255 3', 'hello', '--report', 'report').expect_status(104)
    with open(room.path('report', 'result.json'), encoding='utf-8') as f:
        expect('exit reason 255' in f.read(), 'result.json lacks it')


@case('host: a reset that KVM refuses ends the run')
def reset_refused(room):
    run = room.run_shimmed('KVM_CREATE_VM ENOMEM 1', 'reboot-keyboard', '--timeout', '30s')
    run.expect_status(69, 71).expect_line('KVM_CREATE_VM')


REFUSALS = [
    ('a kernel that is missing', ['-k', 'missing'], 66, 'missing'),
    ('a kernel that is a folder', ['-k', '/'], 66, 'regular file'),
    ('a kernel that is a device', ['-k', '/dev/zero'], 66, 'regular file'),
    ('an initrd that is missing', ['-i', 'missing'], 66, 'missing'),
    ('an initrd larger than memory', ['-m', '2M', '-i', '/proc/self/exe'], 65, 'initrd|exe'),
    ('an unknown option', ['--no-such-option'], 64, 'no-such-option'),
    ('no processors', ['-c', '0'], 64, 'cpus'),
    ('too many processors', ['-c', '256'], 64, 'cpus'),
    ('no memory', ['-m', '0'], 64, 'memory'),
    ('more memory than any host has', ['-m', '2T'], 64, 'memory'),
    ('an unknown stage', ['--until', 'stage:nowhere'], 64, 'until'),
    ('an unknown event', ['--on', 'birthday=exit'], 64, 'on'),
    ('an exit port past the last', ['--exit-port=0x10000'], 64, 'exit-port'),
    ('a time-out that is no time', ['--timeout', 'soon'], 64, 'timeout'),
    ('a third port', ['--serial', 'null', '--serial', 'null', '--serial', 'null'], 64, 'serial'),
    ('a socket path that is too long', ['--serial', 'unix:' + 'x' * 200], 64, 'serial'),
]


@table('refused', REFUSALS)
def refused(room, options, status, pattern):
    for extra in ([], ['--dry-run']):
        run = room.run('hello', *options, *extra).expect_status(status).expect_line(pattern)
        expect(run.out == '' and not room.files(), f'left behind: {room.files()}')


@case('dry run: says nothing, starts nothing, leaves nothing')
def dry_run(room):
    run = room.run('exit 1', '--exit-port', '--dry-run', '--report', 'report', '--serial',
                   'unix:com1', '--serial', 'file:com2').expect_status(0).expect_silence()
    expect(run.out == '' and not os.listdir(room.folder), f'left behind: {os.listdir(room.folder)}')


@case('dry run: needs no KVM')
def dry_run_anywhere(room):
    room.run_shimmed('open ENOENT', 'hello', '--dry-run').expect_status(0).expect_silence()


# What `lodge doctor` says of a host: (name, rule of the shim, status, pattern of its findings).
DOCTORS = [
    ('KVM is missing', 'open ENOENT', 69, 'problem +/dev/kvm +there is no KVM'),
    ('KVM is not permitted', 'open EACCES', 77, 'problem +/dev/kvm +permission denied'),
    ('an old KVM', 'KVM_GET_API_VERSION 11', 69, 'problem +/dev/kvm +has API 11'),
    ('a capability is missing', 'KVM_CAP_IRQCHIP 0', 69, 'problem +capability +KVM_CAP_IRQCHIP'),
    ('ordinary code is refused', 'exit 17', 104, 'note +guest code +.*exit reason 17'),
    ('no guest starts', 'KVM_CREATE_VCPU EINVAL', 69, 'problem +guest code'),
]


@table('doctor', DOCTORS)
def doctor(room, rule, status, pattern):
    run = Run(room, ['doctor'], environment=room.shim(rule)).finish().expect_status(status)
    expect(re.search(pattern, run.out) and not run.err, f'{run.out}{run.err}')


@case('host: SIGTERM while the guest starts ends it in time')
def early_signals(room):
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
        run = room.start('spin', '--serial', 'unix:com1')
        time.sleep(delay)
        for _ in range(2):
            run.signal(signal.SIGTERM)
            time.sleep(0.2)
        run.finish().expect_status(143, -15)
        wait_until(lambda: run.status == -15 or not os.path.exists(room.path('com1')), 'no socket')
        if os.path.exists(room.path('com1')):
            os.unlink(room.path('com1'))

# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run ends: the status and the one line of docs/exit-status.md, for each ending and --on."""
from harness import case, expect, table

REBOOT_EXITS = ('--on', 'reboot=exit')
SHORT = ('--timeout', '1500ms')

# (name, words, options, status, pattern of the line; None: silence)
ENDINGS = [
    ('power off', 'hello', (), 0, None),
    ('power off, asked to exit with 9', 'hello', ('--on', 'poweroff=exit:9'), 9, 'powered off'),
    ('power off, paused', 'hello', ('--on', 'poweroff=pause', *SHORT), 124, None),
    ('exit port, 0', 'exit 0', ('--exit-port',), 1, '0x00'),
    ('exit port, 3', 'exit 3', ('--exit-port',), 7, '0x03'),
    ('exit port, 127', 'exit 127', ('--exit-port',), 255, '0x7f'),
    ('exit port, 255', 'exit 255', ('--exit-port',), 255, '0xff'),
    ('exit port, named', 'out 0x501 5', ('--exit-port=0x501',), 11, '0x05'),
    ('exit port, the other is quiet', 'exit 3', ('--exit-port=0x501',), 0, None),
    ('exit port, not asked for', 'exit 3', (), 0, None),
    ('reboot by the keyboard controller', 'reboot-keyboard', REBOOT_EXITS, 100, 'reboot'),
    ('reboot by port 0xcf9', 'reboot-cf9', REBOOT_EXITS, 100, 'reboot'),
    ('reboot by port 0x92', 'reboot-92', REBOOT_EXITS, 100, 'reboot'),
    ('reboot, asked to exit with 5', 'reboot-cf9', ('--on', 'reboot=exit:5'), 5, 'reboot'),
    ('reboot, asked to exit with 0', 'reboot-cf9', ('--on', 'reboot=exit:0'), 0, None),
    ('reboot, the default, until time is up', 'reboot-keyboard', SHORT, 124, 'timeout'),
    ('reboot, paused', 'reboot-92', ('--on', 'reboot=pause', *SHORT), 124, None),
    ('panic by pvpanic', 'pvpanic', (), 96, 'panic'),
    ('panic by its words', 'panic-words', (), 96, 'panic.*: the probe was told to$'),
    ('panic, then a reboot', 'panic-then-reboot', (), 96, 'panic.*: the probe was told to'),
    ('panic, asked to exit with 1', 'panic-words', ('--on', 'panic=exit:1'), 1, 'panic'),
    ('panic, asked to reset', 'panic-words', ('--on', 'panic=reset', '--timeout', '4s'), 124, None),
    ('panic, paused', 'panic-words', ('--on', 'panic=pause', '--timeout', '3s'), 124, None),
    ('triple fault', 'triple', (), 98, r'vCPU 0 down($| at 0x10[0-9a-f]{4} \(ud2\)$)'),
    ('triple fault, asked to exit with 5', 'triple', ('--on', 'triple-fault=exit:5'), 5, 'triple'),
    ('triple fault, asked to reset', 'triple', ('--on', 'triple-fault=reset', *SHORT), 124, None),
    ('triple fault, paused', 'triple', ('--on', 'triple-fault=pause', *SHORT), 124, None),
    ('KVM refuses an instruction', 'refused', (), 104, r'fld.*at 0x10[0-9a-f]{4}'),
    ('time-out of a busy guest', 'spin', SHORT, 124, r'1\.500 s'),
    ('time-out of a guest asleep', 'sleep', SHORT, 124, 'timeout'),
    ('--until', 'say one two three; spin', ('--until', 'two th'), 0, None),
    ('--until, in pieces', 'until-split one two three; spin', ('--until', 'one two thr'), 0, None),
    ('--until, not reached', 'say one', ('--until', 'four'), 101, 'until four'),
    ('--until, reached by the last word', 'say the end', ('--until', 'the end'), 0, None),
    ('--until, out of time', 'spin', ('--until', 'four', *SHORT), 124, 'timeout'),
    ('--until, rebooted', 'reboot-cf9', ('--until', 'four', *REBOOT_EXITS), 100, 'reboot'),
    ('--until, triple fault', 'triple', ('--until', 'four'), 98, 'triple'),
    ('--until stage:kernel', 'stages; spin', ('--until', 'stage:kernel'), 0, None),
    ('--until stage:init', 'stages; spin', ('--until', 'stage:init'), 0, None),
    ('--until stage:ready', 'stages; spin', ('--until', 'stage:ready'), 0, None),
    ('--until stage:init, not reached', 'hello', ('--until', 'stage:init'), 101, 'stage:init'),
]


@table('ending', ENDINGS)
def ending(room, words, options, status, pattern):
    run = room.run(words, *options).expect_status(status)
    paused = any('pause' in o for o in options)
    if status == 0:
        run.expect_silence()
    elif paused:
        # One line says that it stands still, one how it ended.
        lines = run.err.splitlines()
        expect(len(lines) == 2 and all(l.startswith('lodge: ') for l in lines),
               f'not two lines: {lines}')
    else:
        run.expect_line(pattern or '')


@case('ending: the monitor says what the guest says, byte for byte')
def byte_for_byte(room):
    run = room.run('hello; say a  b').expect_status(0).expect_silence()
    expect(run.out == 'hello from the probe\na  b\n', f'it said {run.out!r}')


@case('ending: a guest goes on after a reset as it began')
def again(room):
    run = room.run('say begun; reboot-count 3', *REBOOT_EXITS[:0]).expect_status(0).expect_silence()
    expect(run.out.count('begun') == 4, 'not four beginnings')
    run.expect_out('rebooted 3 times')


@case('ending: nothing runs on after power off')
def no_more(room):
    run = room.run('say before; exit 1; say after', '--exit-port').expect_status(3)
    expect('after' not in run.out, 'the guest ran on after it ended the run')


@case('ending: time is up in the middle of a reset')
def time_in_reset(room):
    for ms in range(40, 60):
        run = room.run('triple', '--on', 'triple-fault=reset', '--timeout', f'{ms}ms')
        run.expect_status(124).expect_line('timeout')


@case('ending: what was said last counts, whatever follows it at once')
def last_words(room):
    for _ in range(10):
        room.run('say the end', '--until', 'the end').expect_status(0).expect_silence()
        room.run('say the end; reboot-cf9', '--until', 'the end').expect_status(0).expect_silence()
        room.run('panic-then-reboot', '--on', 'panic=exit:9').expect_status(9).expect_line('told to')

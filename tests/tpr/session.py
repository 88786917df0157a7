#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The runs of the TPR guest, where a real KVM is: session.py LODGE GUEST [TEXT [DONE]]. Started by
tests/tpr/run; the first DONE tests were run by an earlier session that hung.

A run is one start of LODGE. The guest tells of each of its cases; a test is a case of a run, and
one more for how the run ended and what result.json counts. Every run that patches has one beside
it that does not: the same cases must hold, and nothing be patched.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

LIMIT_S = 100  # for one run; the longest takes about 8 s in the lab on a machine with nothing else to do
ENDED_WELL = 1  # the guest writes 0 to the exit port
UNAVAILABLE = 69
# What the lab does to guests now and then, patched or not (docs/lab.md): an interrupt comes twice, an
# instruction fetch fails. What is Lodge's fault comes again. Never with --native.
CAME_TWICE = re.compile(r'not ok [^\n]*(twice|duplicate)')
FETCH_FAILED = (63, 98)  # the guest tells of an exception, or shuts down
TRIES = 3
HURT_ITSELF = (ENDED_WELL, 63, 98)  # or an exception that it reports, or a triple fault


RNG = ('-n', 'user')  # a virtio-rng too, for messages from a thread of the host

SCHED = '/sys/kernel/debug/sched'


def share_finely():
    """
    The lab has one processor, as its emulator is not right with more (docs/lab.md). Guest
    processors that wait for each other take turns on it: every 0.1 ms, not every 4.
    """
    if not os.path.exists(SCHED):
        subprocess.run(['mount', '-t', 'debugfs', 'none', '/sys/kernel/debug'], check=True)
    for name, value in (('features', 'HRTICK'), ('min_granularity_ns', '100000'),
                        ('latency_ns', '200000'), ('wakeup_granularity_ns', '50000')):
        with open(os.path.join(SCHED, name), 'w') as file:
            file.write(value)


class Run:
    def __init__(self, name, words, cpus=1, patch=True, statuses=(ENDED_WELL,), check=None, paging='nested',
                 options=()):
        self.name = f'{"on" if patch else "off"}, {cpus} CPU{"s" if cpus > 1 else ""}: {name}'
        self.words, self.cpus, self.patch, self.statuses = words.split(), cpus, patch, statuses
        self.check, self.paging, self.options = check, paging, list(options)


class Failure(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Failure(text)


def explain(failure):
    """It may quote the guest, whose lines must not look like results of ours."""
    for line in str(failure).splitlines():
        print(f'#   {line}')


def patched_all_forms(tpr):
    for form in ('load', 'store', 'store-immediate', 'push', 'pop'):
        need(tpr['patched'].get(form), f'no {form} is patched')
    need(tpr['reports'] >= sum(tpr['patched'].values()), 'more patches than reports')
    need(tpr['arms'] >= 1, 'no processor is armed')
    need(tpr['repairs'] >= 1, 'no lost write was repaired')


def polls(tpr):
    need(tpr['polls'] >= 1, 'no poll')


def refused(*reasons):
    def check(tpr):
        for reason in reasons:
            need(tpr['refused'].get(reason), f'nothing was refused for {reason}')
    return check


def armed(count):
    def check(tpr):
        need(tpr['arms'] >= count, f'{tpr["arms"]} arms, at least {count} wanted')
    return check


def runs():
    """The order is from what costs least, so that what is broken shows early."""
    everything = 'forms places deliver hostile'  # hostile is last: it fills the patcher's list
    off = [
        Run('all', everything, patch=False),
        Run('PAE', 'pae forms deliver smp', cpus=2, patch=False),
        Run('stress', 'count=1000 stress', cpus=2, patch=False, options=RNG),
        Run('reset', 'reset', patch=False),
    ]
    on = [
        Run('all', everything, check=patched_all_forms),
        Run('PAE', 'pae ' + everything, check=patched_all_forms),
        Run('all', 'forms places deliver smp hostile', cpus=2, check=patched_all_forms),
        Run('PAE, no-execute', 'nx forms places deliver smp hostile', cpus=2, check=patched_all_forms),
        Run('started in reverse', 'reverse deliver smp', cpus=4, check=armed(4)),
        Run('PAE, started in reverse', 'pae reverse smp', cpus=4, check=armed(4)),
        Run('stress', 'count=50000 stress', check=polls, options=RNG),
        Run('stress', 'count=50000 stress', cpus=2, check=polls, options=RNG),
        Run('stress, PAE', 'pae count=1000 seed=7 stress', cpus=4, check=polls, options=RNG),
    ]
    alone = [(name, cpus, words) for cpus, words in ((1, ''), (2, 'pae '))
             for name in ('reset', 'hibernate', 'fresh-rom', 'rom-mapping', 'rom-unmapped-armed')]
    alone += [(name, cpus, words) for cpus, words in ((2, ''), (4, 'pae '))
              for name in ('fresh-rom-smp', 'rom-init')]
    alone.append(('rom-mapping', 1, 'nx '))
    on += [Run(f'{words}{name}', words + name, cpus=cpus) for name, cpus, words in alone]
    on += [Run(f'{words}{name}', words + name, cpus=cpus, statuses=HURT_ITSELF)
           for cpus, words in ((1, ''), (2, 'pae ')) for name in ('rom-garbage', 'kpcr-swapped')]
    # Where KVM walks the guest's tables itself.
    on.append(Run('shadow paging, PAE', 'pae forms places deliver smp', cpus=2, paging='shadow'))
    return off + on


class Session:
    def __init__(self, lodge, guest):
        self.lodge, self.guest = lodge, guest
        self.folder = tempfile.mkdtemp(prefix='lodge-tpr-')
        self.cases = []  # group, name, processors
        self.no_patcher = None  # why
        self.paging = 'nested'

    def start(self, run):
        """(status, output, result.json or {}); again where the lab may have spoiled it"""
        for _ in range(TRIES):
            result = self.start_once(run)
            failed = result[0] in FETCH_FAILED and result[0] not in run.statuses
            if not os.environ.get('LODGE_LAB') or not (failed or CAME_TWICE.search(result[1])):
                break
            print(f'# {run.name}: status {result[0]}, once more', flush=True)
        return result

    def start_once(self, run):
        report = os.path.join(self.folder, 'report')
        shutil.rmtree(report, ignore_errors=True)
        patch = 'on' if run.patch else 'off'
        command = [self.lodge, 'run', '-m', '128', '-c', str(run.cpus), '-k', self.guest,
                   '--exit-port', '--tpr-patch', patch, '--report', report, *run.options, '-a',
                   ' '.join(run.words + [f'cpus={run.cpus}', f'patch={patch}'])]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as hit:
            status, output = 124, (hit.stdout or b'') + b'\nstill running'
        result = {}
        try:
            with open(os.path.join(report, 'result.json')) as file:
                result = json.load(file)
        except (OSError, ValueError):
            pass
        return status, output.decode(errors='replace'), result

    def look(self):
        """What the guest can do, and whether there is a patcher."""
        status, output, result = self.start(Run('list', 'list', patch=False))
        for line in output.splitlines():
            found = re.match(r'case (\S+) (\S+) (\d+)', line)
            if found:
                self.cases.append((found[1], found[2], int(found[3])))
        if status != ENDED_WELL or not self.cases:
            raise Failure(f'the guest does not run, status {status}: {output.strip()[-300:]}')
        status, output, result = self.start(Run('list', 'list'))
        if 'is not in this version' in output:
            self.no_patcher = 'this program has no patcher'
        elif status == UNAVAILABLE and not os.environ.get('LODGE_LAB'):
            self.no_patcher = output.strip().splitlines()[-1]  # this machine's hardware does it

    def names(self, run):
        for word in run.words:
            for group, name, cpus in self.cases:
                if name == word or (group == word and cpus <= run.cpus):
                    yield name

    def set_paging(self, paging):
        if os.environ.get('LODGE_LAB') and paging != self.paging:
            self.paging = paging
            subprocess.run(['lab-paging', paging], check=True)

    def judge(self, run, status, output, result):
        """[(name, what is wrong or None)]"""
        told = {}
        for line in output.splitlines():
            found = re.match(r'(not )?ok ([^ :]+)(?:: (.*))?$', line)
            if found:
                told.setdefault(found[2], []).append(f'{found[3]}' if found[1] else None)
        hurt = run.statuses is HURT_ITSELF
        for name in self.names(run):
            seen = told.pop(name, ['its result is missing'])
            bad = [one for one in seen if one] if not hurt else []
            yield name, '; '.join(bad) or None
        try:
            need(status in run.statuses, f'status {status}: {output.strip()[-200:]}')
            need(hurt or not told, f'unknown results: {", ".join(told)}')
            if RNG == tuple(run.options):
                need(re.search(r'^value from-host [1-9]', output, re.M), 'nothing came from the host')
            cut = re.search(r'^value halts-cut-short (\d+)', output, re.M)
            if cut:
                print(f'# {run.name}: {cut[1]} halts were cut short')
                need(os.environ.get('LODGE_LAB'), 'an interrupt came between STI and HLT')
            tpr = result.get('tpr', {})
            if not run.patch:
                need(not tpr.get('on'), 'the patcher is on')
                need(not sum(tpr.get('patched', {}).values()), 'something is patched')
            else:
                need(tpr.get('on'), 'the patcher is not on')
                if run.check:
                    run.check(tpr)
        except Failure as failure:
            yield 'its end', f'{failure} {json.dumps(result.get("tpr"))}'
        else:
            yield 'its end', None

    def run(self, only, done):
        number = failed = 0
        for run in runs():
            if only not in run.name:
                continue
            names = list(self.names(run)) + ['its end']
            first, number = number + 1, number + len(names)
            if number <= done:
                continue
            if run.patch and self.no_patcher:
                results = [(name, None) for name in names]
                suffix = f' # SKIP {self.no_patcher}'
            elif first <= done:
                results, suffix = [(name, 'the lab hangs') for name in names], ''
            else:
                self.set_paging(run.paging)
                began = time.monotonic()
                results = list(self.judge(run, *self.start(run)))
                suffix = ''
                print(f'# {run.name}: {time.monotonic() - began:.1f} s')
            for at, (name, wrong) in enumerate(results, first):
                if at <= done:
                    continue
                failed += wrong is not None
                print(f'{"not " if wrong else ""}ok {at} - {run.name}: {name}{suffix}')
                if wrong:
                    explain(wrong)
            sys.stdout.flush()
        print(f'1..{number}')
        return 1 if failed else 0


def main():
    lodge, guest = sys.argv[1:3]
    only = sys.argv[3] if len(sys.argv) > 3 else ''
    done = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    session = Session(lodge, guest)
    print('# the session starts', flush=True)
    if os.environ.get('LODGE_LAB'):
        share_finely()
    try:
        session.look()
        return session.run(only, done)
    except Failure as failure:
        print('1..1\nnot ok 1 - tpr')
        explain(failure)
        return 1
    finally:
        shutil.rmtree(session.folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())

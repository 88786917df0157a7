# SPDX-License-Identifier: GPL-2.0-or-later
"""
Boot cases whose network has another process at its other end: passt(1), and a second guest on a
cable (dgram).
"""
import os
import shutil
import subprocess
import time

import devices

PAGE = 'page of the other guest'


def prepare(found, reasons):
    path = shutil.which('passt')
    if path:
        found['passt'] = path
    else:
        reasons['passt'] = 'passt is not installed'


def cases(linux, Failure):
    def start_passt(work, artifacts):
        """passt copies the addresses of the interface of the default route; the lab has none."""
        subprocess.run(['busybox', 'ip', 'route', 'replace', 'default', 'via', '192.168.77.2', 'dev',
                        artifacts['tap']], check=True)
        web, port, path = devices.Web(), str(devices.free_port()), '/tmp/lodge-passt'
        process = subprocess.Popen([artifacts['passt'], '-f', '-q', '-s', path, '-t', f'{port}:80'],
                                   stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while not os.path.exists(path) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        if process.poll() is not None:
            raise Failure(f'passt: {process.stderr.read()}')
        return {'socket': path, 'passt process': process, 'web': str(web.server_address[1]),
                'sum': web.sum, 'port': port}

    def end_passt(text, artifacts):
        artifacts['passt process'].terminate()
        artifacts['passt process'].wait()
        subprocess.run(['busybox', 'ip', 'route', 'del', 'default'], check=False)
        if artifacts['sum'] not in text:
            raise Failure('what the guest fetched is not what the server gave')
        if 'page of the guest' not in artifacts.get('answer', ''):
            raise Failure(f'through the forward came {artifacts.get("answer")!r}')

    def knock(process, read, files):
        if read('serving'):
            files['answer'] = devices.fetch(int(files['port']))

    def start_other(work, artifacts):
        """The other guest serves until it is killed; frames wait for nobody, so it may be late."""
        one, other = f'{work}/one', f'{work}/other'
        command = ('ip addr add 10.9.0.2/24 dev eth0; ip link set lo up; ip link set eth0 up; '
                   f'mkdir /www; echo {PAGE} >/www/index.html; httpd -h /www; sleep 1000')
        log = open(f'{work}/other.log', 'wb')
        process = subprocess.Popen(
            [artifacts['lodge'], 'run', '--timeout', '110s', '-m', '256', '-k', artifacts['cloud'], '-i',
             artifacts['cloud-virtio'], '-n', f'dgram,path={other},peer={one}', '-a',
             f'console=ttyS0 quiet cryptomgr.notests lodge.command="{command}"'],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return {'one': one, 'other': other, 'other process': process}

    def end_other(text, artifacts):
        artifacts['other process'].kill()
        artifacts['other process'].wait()
        if PAGE not in text:
            with open(f'{artifacts["work"]}/other.log', errors='replace') as file:
                raise Failure(f'the page did not come; the other guest: {file.read()[-400:]}')

    return [
        linux('network: passt, TCP out and in', initrd='cloud-virtio', need=('passt', 'tap'),
              files=start_passt, act=knock, after=end_passt, options=('-n', 'passt,path={socket}'),
              command=f'{devices.UP}; echo sum=$(wget -q -O - http://192.168.77.2:{{web}}/ | '
                      'sha256sum); mkdir -p /www; echo page of the guest >/www/index.html; '
                      'httpd -h /www; echo serving; sleep 3',
              want=(r'dhcp: 192\.168\.77\.1/.* router 192\.168\.77\.2',)),
        linux('network: a cable between two guests', initrd='cloud-virtio', files=start_other,
              after=end_other, options=('-n', 'dgram,path={one},peer={other}'),
              command='ip addr add 10.9.0.1/24 dev eth0; ip link set eth0 up; i=0; '
                      'while ! wget -q -O - http://10.9.0.2/ && [ $i -lt 40 ]; do '
                      'i=$((i + 1)); sleep 1; done'),
    ]

#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs in the lab: inside.sh FOLDER NAME COMMAND... measures one monitor and leaves
# FOLDER/out/NAME.*. Everything that takes part is in memory first, so that no file system of the
# host is in the figures.
set -e
folder=$1 name=$2
shift 2
tracing=/sys/kernel/tracing
out=$folder/out
mkdir -p "$out"

# The monitors with their libraries and files, as laid out by the driver, in memory.
root=/tmp/bench-root
mkdir -p $root
mount -t tmpfs -o size=90% tmpfs $root
tar -xf "$folder/root.tar" -C $root
mkdir -p $root/proc $root/sys $root/dev $root/tmp
mount -t proc proc $root/proc
mount -t sysfs sys $root/sys
mount -t devtmpfs dev $root/dev
run() { HOME=/root chroot $root "$@"; }

histogram() { # EVENT KEY [FILTER]
	echo "hist:keys=$2:size=4096${3:+ if $3}" >$tracing/events/kvm/"$1"/trigger
}
save() { cat $tracing/events/kvm/"$1"/hist >"$out/$name.$1"; }

# Once unseen, for the page cache and KVM's first use, and for Lodge the unpacked kernel.
run /measure - 256 "$@" >/dev/null
if [ "$name" = lodge-cold ]; then
	rm -r $root/root/.cache/lodge/kernels
fi
sleep 1 # the VM of the run before is taken apart
run /measure - 256 "$@" >"$out/$name.json"
[ "$name" = lodge-cold ] && exit 0
sleep 1
run /measure BENCH-INIT 256 "$@" >"$out/$name.memory.json"
histogram kvm_exit exit_reason
histogram kvm_userspace_exit reason
histogram kvm_pio port,rw
run /measure - 256 "$@" >"$out/$name.traced.json"
save kvm_exit
save kvm_userspace_exit
save kvm_pio

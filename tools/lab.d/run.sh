# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-or-later
# Second part of every job, appended to the settings that tools/lab wrote. The root is now the host's,
# under an overlay; this is still process 1. Functions lab_settings and lab_command are above.

lab_report() {
	sync
	echo "exit $1" >&3
	# The host ends the machine; nothing more to do here.
	while :; do /run/lab/bin/sleep 3600; done
}

lab_sizes() { # window sizes from the host's terminal
	while read -r verb rows columns <&3; do
		[ "$verb" = size ] && stty -F /dev/hvc0 rows "$rows" cols "$columns"
	done
}

lab_interactive() {
	stty -F /dev/hvc0 sane rows "$lab_rows" cols "$lab_columns"
	lab_sizes 2>/dev/null &
	setsid -c sh /run/lab/job command </dev/hvc0 >/dev/hvc0 2>&1 3>&-
	lab_report $?
}

lab_batch() {
	# A pipe for each stream, because a port cannot be opened twice (a command may open /dev/stderr).
	# Both ends are opened here, before there are children: a signal that one ended would break a
	# blocking open off. 4 is a writer that keeps the opening of the reading end from blocking.
	cd /run/lab && mkfifo in out err
	exec 4<>in 5<in 6>in 4>&-
	exec 4<>out 7<out 8>out 4>&-
	exec 4<>err 9<err 4>&-
	cat /dev/lab-stdin >&6 2>/dev/null 3>&- 5<&- 7<&- 8>&- 9<&- &
	input=$!
	cat <&7 >/dev/lab-stdout 3>&- 5<&- 6>&- 8>&- 9<&- &
	output=$!
	exec 4>err
	cat <&9 >/dev/lab-stderr 3>&- 4>&- 5<&- 6>&- 7<&- 8>&- &
	errors=$!
	exec 6>&- 7<&- 9<&-
	setsid sh /run/lab/job command <&5 >&8 2>&4 3>&- 4>&- 5<&- 8>&-
	status=$?
	exec 4>&- 5<&- 8>&-
	kill $input 2>/dev/null
	# What the command left running may hold its output open: it gets a second, no more.
	(
		sleep 1
		kill $output $errors
	) 2>/dev/null 3>&- &
	wait $output $errors
	lab_report $status
}

case $1 in
run)
	lab_settings
	PATH=/run/lab/bin
	if [ -n "$lab_interactive" ]; then
		lab_interactive
	fi
	lab_batch
	;;
command)
	lab_command
	;;
esac

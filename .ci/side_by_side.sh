#!/bin/sh
# side_by_side.sh LOG COMMAND [LOG COMMAND ...]: runs the commands at once, each at the end of its log.
#
# Shows the newest line of every log: in place on a terminal, elsewhere when it changes. When one
# command fails, the end of its log is printed, the others are ended, and the exit status is 1.
# A log's name has no spaces.
set -u

running=""
while [ $# -ge 2 ]; do
    mkdir -p "$(dirname "$1")"
    sh -c "exec $2" >> "$1" 2>&1 &
    running="$running $!:$1"
    shift 2
done
all=$running
count=$(echo "$all" | wc -w)
width=$( (stty size < /dev/tty | cut -d ' ' -f 2) 2> /dev/null)
[ "${width:-0}" -gt 20 ] || width=140

end_all() {
    for each in $running; do kill "${each%%:*}" 2> /dev/null; done
    wait
}
# A terminal's Ctrl-C reaches the commands by itself; a second signal would end them at once.
trap 'wait; exit 130' INT
trap 'end_all; exit 130' TERM HUP

show() {
    for each in $all; do
        log=${each#*:}
        line=$(tail -c 4000 "$log" | tr '\r' '\n' | grep . | tail -n 1)
        echo "$1$(dirname "$log"): ${line:-(starting)}" | cut -c 1-"$width"
    done
}

before=""
seconds=0
while [ -n "$running" ]; do
    sleep 2
    seconds=$((seconds + 2))
    still=""
    for each in $running; do
        pid=${each%%:*}
        log=${each#*:}
        if kill -0 "$pid" 2> /dev/null; then
            still="$still $each"
        elif ! wait "$pid"; then
            running=$still" "${running#*"$each"}
            end_all
            echo "error: a command failed; the end of $log:" >&2
            tail -n 15 "$log" >&2
            exit 1
        fi
    done
    running=$still
    if [ -t 1 ]; then
        [ -z "$before" ] || printf '\033[%dA\033[J' "$count"
        before=$(show "$(printf '%3d:%02d ' $((seconds / 60)) $((seconds % 60)))")
        echo "$before"
    else
        now=$(show "")
        [ "$now" = "$before" ] || echo "$now"
        before=$now
    fi
done

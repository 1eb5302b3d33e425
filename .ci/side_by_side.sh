#!/bin/sh
# side_by_side.sh LOG COMMAND [LOG COMMAND ...]: runs the commands at once, each into its log.
#
# Shows the newest line of every log: in place on a terminal, twice a minute elsewhere. When one
# command fails, the end of its log is printed, the others are ended, and the exit status is 1.
# A log's name has no spaces.
set -u

running=""
while [ $# -ge 2 ]; do
    mkdir -p "$(dirname "$1")"
    sh -c "exec $2" > "$1" 2>&1 &
    running="$running $!:$1"
    shift 2
done
all=$running

end_all() {
    for each in $running; do kill "${each%%:*}" 2> /dev/null; done
    wait
}
trap 'end_all; exit 130' INT TERM HUP

show() {
    for each in $all; do
        log=${each#*:}
        line=$(tail -c 4000 "$log" | tr '\r' '\n' | grep . | tail -n 1 | cut -c 1-120)
        printf '%b%s: %s\n' "$1" "$log" "${line:-(starting)}"
    done
}

tick=0
while [ -n "$running" ]; do
    sleep 2
    still=""
    for each in $running; do
        pid=${each%%:*}
        log=${each#*:}
        if kill -0 "$pid" 2> /dev/null; then
            still="$still $each"
        elif ! wait "$pid"; then
            running=$still" "${running#*"$each"}
            end_all
            printf 'error: a command failed; the end of %s:\n' "$log" >&2
            tail -n 15 "$log" >&2
            exit 1
        fi
    done
    running=$still
    if [ -t 1 ]; then
        [ "$tick" -gt 0 ] && printf '\033[%dA' "$(echo "$all" | wc -w)"
        show '\033[K'
    elif [ $((tick % 15)) -eq 0 ] || [ -z "$running" ]; then
        show ''
    fi
    tick=$((tick + 1))
done

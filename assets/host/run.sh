#!/bin/sh
# Runs the steps of one endpoint, in order, whoever is watching or not.
#
#   run.sh start DIR   start running the steps in the background, unless that is going on
#   run.sh steps DIR   run them here (what `start` does in the background)
#   run.sh alive DIR   exit 0 while they run
#   run.sh stop DIR    end the steps and the server, with all their children; exit 1 if something stays
#
# DIR/steps/NN-word.sh   a step: POSIX sh, run with -eu in DIR; its exit status lands in NN-word.rc
# DIR/setup.log          output of the steps, each between two marker lines "=== TIME STEP begin|end RC"
# DIR/run.pid, run.rc    the process group that runs them; the exit status of the whole, once it is over
# DIR/secrets/NAME       holds the path of a 0600 file with a secret. Steps find it as $NAME_PATH (HF_TOKEN_PATH);
#                        the file is removed when the step that says "# needs: NAME" has ended
#
# A step whose .rc is 0 is not run again, but for those from 90 on: they start the server and wait for it.
set -u
umask 077
verb=${1:-}
dir=${2:?usage: run.sh start|steps|alive|stop DIR}
self=$0
case $self in /*) ;; *) self=$PWD/$self ;; esac
cd "$dir" || exit 1

mark() { printf '=== %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>setup.log; }

# The pid in a file, if that process lives and is ours, at work in this folder (where that can be seen) and for
# run.pid a run.sh: pids are used again after a reboot.
pid_in() {
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
    at=$(readlink "/proc/$pid/cwd" 2>/dev/null) || at=
    [ -z "$at" ] || [ "$at" = "$(pwd -P)" ] || return 1
    [ "$1" != run.pid ] || ps -ww -p "$pid" -o args= 2>/dev/null | grep -q run.sh
}

# Zombies do not count: in a container nobody may ever bury them.
group_lives() { ps -A -o pgid=,stat= | awk -v g="$1" '$1 == g && $2 !~ /^Z/ { n++ } END { exit !n }'; }

offer_secrets() {
    for note in secrets/*; do
        [ -f "$note" ] || continue
        export "$(basename "$note" | tr '[:lower:]' '[:upper:]')_PATH=$(cat "$note")"
    done
}

forget_secrets() { # NAME...
    for name in "$@"; do
        [ -f "secrets/$name" ] || continue
        rm -f "$(cat "secrets/$name")" "secrets/$name"
    done
}

forget_all_secrets() {
    for note in secrets/*; do
        [ ! -f "$note" ] || forget_secrets "$(basename "$note")"
    done
}

run_steps() {
    # A link appears whole or not at all: one run.sh at a time.
    echo $$ >"run.pid.$$"
    while ! ln "run.pid.$$" run.pid 2>/dev/null; do
        if pid_in run.pid; then
            rm -f "run.pid.$$"
            exit 0
        fi
        rm -f run.pid
    done
    rm -f "run.pid.$$" run.rc
    trap 'forget_all_secrets; rm -f run.pid' EXIT
    trap 'exit 143' TERM INT HUP
    offer_secrets
    mark run begin
    rc=0
    for script in steps/[0-9][0-9]-*.sh; do
        id=$(basename "$script" .sh)
        if [ "${id%%-*}" -lt 90 ] && [ "$(cat "steps/$id.rc" 2>/dev/null)" = 0 ]; then
            mark "$id" skip
            continue
        fi
        rm -f "steps/$id.rc"
        mark "$id" begin
        sh -eu "$script" >>setup.log 2>&1 </dev/null
        rc=$?
        # a step may leave its last line open; a marker stands on a line of its own
        [ -z "$(tail -c 1 setup.log)" ] || echo >>setup.log
        # shellcheck disable=SC2046 # the names are words without blanks
        forget_secrets $(sed -n 's/^# needs: //p' "$script")
        echo "$rc" >"steps/$id.rc.new" && mv "steps/$id.rc.new" "steps/$id.rc"
        mark "$id" end "$rc"
        [ "$rc" -eq 0 ] || break
    done
    mark run end "$rc"
    echo "$rc" >run.rc.new && mv run.rc.new run.rc
    exit "$rc"
}

stop_group() { # PID: TERM to its process group, KILL to what is left after 10 s
    group=$(ps -p "$1" -o pgid= 2>/dev/null | tr -d ' ')
    [ -n "$group" ] || return 0
    kill -TERM "-$group" 2>/dev/null
    tries=0
    while group_lives "$group"; do
        tries=$((tries + 1))
        [ "$tries" -ne 100 ] || kill -KILL "-$group" 2>/dev/null
        [ "$tries" -lt 150 ] || return 1
        sleep 0.1
    done
}

case $verb in
start)
    pid_in run.pid && exit 0
    rm -f run.rc
    # A session of its own, so that neither a closed line nor a killed client ends it.
    if command -v setsid >/dev/null; then
        setsid nohup sh "$self" steps "$PWD" >/dev/null 2>&1 </dev/null &
    else
        nohup python3 -c 'import os, sys; os.setsid(); os.execvp("sh", ["sh"] + sys.argv[1:])' \
            "$self" steps "$PWD" >/dev/null 2>&1 </dev/null &
    fi
    ;;
steps) run_steps ;;
alive) pid_in run.pid ;;
stop)
    left=0
    for file in run.pid api_server.pid; do
        if pid_in "$file"; then
            stop_group "$pid" || left=1
        fi
        [ "$left" = 1 ] || rm -f "$file"
    done
    forget_all_secrets
    exit "$left"
    ;;
*)
    echo "usage: run.sh start|steps|alive|stop DIR" >&2
    exit 2
    ;;
esac

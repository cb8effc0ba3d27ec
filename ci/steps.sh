# The steps of a long test run, for scripts that have read lib.sh. What does not need each other runs side by side; what a step
# prints is shown whole when it ends; a table says at the end what each took. The first step that fails ends the run; with
# CI_KEEP_GOING, what does not need it goes on, and the run fails at its end.
#
#     step NAME NEEDS COMMAND...     NEEDS: names of steps whose results it needs, in one word; '' is none
#     behind NAME OTHER...           NAME begins when these have ended, where they run as well; it needs nothing of them
#     choose_steps ARGUMENT...       what the caller asks for: nothing is all steps, names are those and what they need,
#                                    `--only` and names are those alone, `--list` prints what there is and ends
#     run_steps FOLDER               runs them: of those that can begin, the first ones first. FOLDER gets a log of each
#
# shellcheck shell=bash

# How many steps run at once. Some wait more than they work, so there are more than processors.
lanes=${CI_LANES:-$(($(nproc) + 2))}

steps=()
declare -A step_needs=() step_behind=() step_command=() step_process=() step_began=() step_state=() step_seconds=()

step() {
    local name=$1 other
    [ -z "${step_state[$name]:-}" ] || die "there are two steps $name"
    # Only what is declared above: so there is no circle, and no wrong name.
    for other in $2; do
        [ -n "${step_state[$other]:-}" ] || die "step $name needs $other, which is not there"
    done
    steps+=("$name")
    step_needs[$name]=$2
    step_behind[$name]=
    step_command[$name]=$(shift 2 && printf '%q ' "$@")
    step_state[$name]=waiting
}

behind() {
    local other name=$1
    shift
    # Only what is declared before it: so there is no circle here, too.
    for other in "$@"; do
        [[ $(printf ' %s ' "${steps[@]}") == *" $other "*" $name "* ]] ||
            die "step $name comes behind $other, which is not there before it"
    done
    step_behind[$name]="$*"
}

choose_steps() {
    local name other only='' missing=()
    case ${1:-} in
        '') return ;;
        --list)
            for name in "${steps[@]}"; do
                printf '%-20s %s\n' "$name" "${step_needs[$name]:+needs ${step_needs[$name]}}"
            done
            exit
            ;;
        --only)
            only=yes
            shift
            [ $# -gt 0 ] || die "--only which steps? --list has their names"
            ;;
    esac
    for name in "$@"; do
        [ -n "${step_state[$name]:-}" ] || die "there is no step $name: --list has the names of all"
    done
    for name in "${steps[@]}"; do step_state[$name]=unasked; done
    for name in "$@"; do ask_for "$name"; done
    for name in "$@"; do
        for other in ${step_needs[$name]}; do
            if [ "${step_state[$other]}" = unasked ]; then missing+=("$other"); fi
        done
    done
    if [ ${#missing[@]} -gt 0 ]; then say "nothing else runs: what these make has to be there already: ${missing[*]}"; fi
}

# A step, and all that it needs.
ask_for() {
    local other
    step_state[$1]=waiting
    [ -z "$only" ] || return 0
    for other in ${step_needs[$1]}; do ask_for "$other"; done
}

run_steps() {
    local name left
    step_folder=$1
    rm -rf "$step_folder"
    mkdir -p "$step_folder"
    trap 'end_steps' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # Each step is a group of processes, so that none of them is left when it has to be ended.
    set -m
    while :; do
        left=0
        for name in "${steps[@]}"; do
            if [ "${step_state[$name]}" = running ] && has_ended "$name"; then finish_step "$name"; fi
        done
        # What ended gives way to the first that waits, wherever it stands among them.
        for name in "${steps[@]}"; do
            if [ "${step_state[$name]}" = waiting ]; then
                if lacks "$name"; then
                    step_state[$name]=skipped
                elif can_begin "$name"; then
                    begin_step "$name"
                fi
            fi
            case ${step_state[$name]} in waiting | running) left=$((left + 1)) ;; esac
        done
        [ $left -gt 0 ] || break
        sleep 0.2
    done
    for name in "${steps[@]}"; do
        case ${step_state[$name]} in passed | unasked) ;; *) exit 1 ;; esac
    done
}

# Whether it needs a step that failed.
lacks() {
    local other
    for other in ${step_needs[$1]}; do
        case ${step_state[$other]} in failed | skipped) return 0 ;; esac
    done
    return 1
}

can_begin() {
    local other
    [ "$(running_steps | wc -w)" -lt "$lanes" ] || return
    for other in ${step_needs[$1]} ${step_behind[$1]}; do
        case ${step_state[$other]} in waiting | running) return 1 ;; esac
    done
}

running_steps() {
    local name
    for name in "${steps[@]}"; do
        if [ "${step_state[$name]}" = running ]; then echo "$name"; fi
    done
}

begin_step() {
    do_step "$1" >"$step_folder/$1.log" 2>&1 </dev/null &
    step_process[$1]=$!
    step_began[$1]=$(date +%s)
    step_state[$1]=running
    say "$1 begins"
}

# The whole of a step, in a process of its own. Its end is written down, in two goes so that it is never half there.
do_step() {
    local status
    # In a condition, a command that fails would not end the step.
    set +e
    (
        set -e
        eval "${step_command[$1]}"
    )
    status=$?
    times >"$step_folder/$1.times"
    touch "$step_folder/$1.ended"
    return $status
}

has_ended() { [ -e "$step_folder/$1.ended" ] || ! kill -0 "${step_process[$1]}" 2>/dev/null; }

# What the step printed, and how it ended: by the status of its process, whatever became of its files.
finish_step() {
    local status=0
    wait "${step_process[$1]}" || status=$?
    step_seconds[$1]=$(($(date +%s) - step_began[$1]))
    step_state[$1]=passed
    [ $status = 0 ] || step_state[$1]=failed
    printf '\n==> %s: %s after %s  [%d min]\n' "$1" "${step_state[$1]}" "$(minutes "${step_seconds[$1]}")" \
        $((($(date +%s) - CI_BEGAN) / 60))
    cat "$step_folder/$1.log"
    [ $status = 0 ] || [ -n "${CI_KEEP_GOING:-}" ] || exit 1
}

# However the run ends: nothing goes on running, and the table comes last.
end_steps() {
    local status=$? name
    trap - EXIT
    trap '' INT TERM HUP
    # Bash is not to tell of what it is made to end.
    set +m
    for name in $(running_steps); do
        step_state[$name]=ended
        step_seconds[$name]=$(($(date +%s) - step_began[$name]))
        end_group "${step_process[$name]}"
    done
    step_table
    for name in "${steps[@]}"; do
        [ "${step_state[$name]}" != failed ] || printf 'error: step %s failed; what it said is above\n' "$name" >&2
    done
    exit $status
}

# Asks the processes of a group to end, and makes them after ten seconds. Those of `sudo` only root can.
end_group() {
    local end=$((SECONDS + 10))
    signal_group TERM "$1"
    while [ $SECONDS -lt $end ] && kill -0 -- "-$1" 2>/dev/null; do sleep 0.2; done
    signal_group KILL "$1"
    wait "$1" 2>/dev/null || true
}

signal_group() {
    as_root kill -s "$1" -- "-$2" 2>/dev/null || true
}

# CPU is user and system time of all processes of the step that have ended.
step_table() {
    local name
    printf '\n%-20s %9s %9s  %s\n' step time CPU ''
    for name in "${steps[@]}"; do
        [ "${step_state[$name]}" != unasked ] || continue
        printf '%-20s %9s %9s  %s\n' "$name" "$(minutes "${step_seconds[$name]:-}")" "$(cpu_of "$name")" "${step_state[$name]}"
    done
    printf '%-20s %9s\n' 'all together' "$(minutes $(($(date +%s) - CI_BEGAN)))"
}

# cpu_of NAME: as bash's `times` wrote it, of its shell and of what that called: four times like 1m2.345s.
cpu_of() {
    local file=$step_folder/$1.times
    [ -s "$file" ] || return 0
    minutes "$(sed 's/s//g; s/m/ /g' "$file" | awk '{ sum += $1 * 60 + $2 + $3 * 60 + $4 } END { printf "%d", sum + 0.5 }')"
}

# minutes SECONDS: like 12:34; nothing of nothing.
minutes() { [ -z "$1" ] || printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

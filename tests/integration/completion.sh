#!/usr/bin/env bash
# Completion of every program: what it offers, and that each program has one: completion.sh ROOT BIN
set -u
root=$1 bin=$2
PATH=$bin:$PATH
failures=0
check() { # WHAT EXPECTED GOT
    [ "$2" != "$3" ] || return 0
    printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}
for one in "$root"/completion/*.bash; do
    # shellcheck source=/dev/null
    . "$one"
done
# completed WORD...: what the last one may become.
completed() {
    local function
    function=$(complete -p "$1" 2>/dev/null | grep -oE '\-F [a-z_]+' | cut -d ' ' -f 2)
    [ -n "$function" ] || { echo "none"; return; }
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "$function"
    echo "${COMPREPLY[*]}"
}
for program in "$bin"/*; do
    { [ -f "$program" ] && [ -x "$program" ]; } || continue
    name=${program##*/}
    [ "$(completed "$name" --hel)" = --help ] || [ "$name" = divvy ] || [ "$name" = ggo ] || check "$name --hel" --help "$(completed "$name" --hel)"
    [ "$(completed "$name" '')" != none ] || check "$name has a completion" some none
    # Each long option of its help is offered.
    case $name in divvy | ggo) continue ;; esac
    for option in $("$program" --help | grep -oE '^ +(-., +)?--[a-z][a-z-]+' | grep -oE '\-\-[a-z-]+'); do
        case " $(completed "$name" "$option") " in *" $option "*) ;; *) check "$name $option" "$option" "$(completed "$name" "$option")" ;; esac
    done
done
check "a verb" bootstrap "$(completed divvy boot)"
check "an option of a verb" --config "$(completed divvy bootstrap --con)"
check "a command of the simulated GPU" fault "$(completed divvy-sim fau)"
check "a command of the client" bandwidth "$(completed divvy-client ban)"
check "behind an option" bandwidth "$(completed divvy-client --timeout 5 ban)"
check "an option's words" "fail fallback" "$(completed divvy-runner --on-busy fa)"
check "a file" "$root/completion" "$(completed divvy-relay --state "$root/compl")"
check "what belongs to another program" "$root/completion" "$(completed runner --target ls --args "$root/compl")"
check "formats" journal "$(completed divvy-relay --log-format jo)"
check "commands of ggo" agent "$(completed ggo ag)"
[ $failures = 0 ] || exit 1
echo "all well"

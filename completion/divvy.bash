# Completion of divvy for bash: verbs, options and names of tenants. Installed where bash-completion looks for it.
# shellcheck shell=bash

# Names of tenants, as far as a daemon answers.
_divvy_tenants() { divvy ps --all 2>/dev/null | awk 'NR > 1 && !/^ / { print $1 }'; }

# Options of a verb, as its help lists them.
_divvy_options() { divvy "$1" --help 2>/dev/null | grep -oE '^ +(-., +)?--[a-z-]+' | grep -oE '\-\-[a-z-]+'; }

_divvy_words() { # VERB WORD-BEFORE: what may stand here
    case $2 in
    --qos) echo low medium high critical ;;
    --gpu) echo sim && divvy gpus 2>/dev/null | awk 'NR > 1 { print $1 }' ;;
    --compute) echo 10% 20% 25% 30% 50% 75% && { [ "$1" != set ] || echo none; } ;;
    --memory) echo 25% 50% 1GiB 2GiB 4GiB 8GiB 16GiB && { [ "$1" != set ] || echo none; } ;;
    --instance | --pid | --locks) ;;
    *)
        if [ "$1" = mig ]; then
            echo list profiles reserve release status --json --gpu --locks --wait --create --bigger --instance --pid --orphans
            divvy mig profiles 2>/dev/null | awk 'NR > 1 { print $2 }'
            return
        fi
        _divvy_options "$1"
        case $1 in set | freeze | resume | snapshot | rm) _divvy_tenants ;; page) echo show && _divvy_tenants ;; esac
        ;;
    esac
}

_divvy() {
    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} i
    if [ "$COMP_CWORD" -le 1 ] || { [ "$verb" = help ] && [ "$COMP_CWORD" -eq 2 ]; }; then
        mapfile -t COMPREPLY < <(compgen -W "$(divvy help 2>/dev/null | sed -nE 's/^  ([a-z]+)  .*/\1/p')" -- "$word")
        return
    fi
    # Behind "divvy run ... --" it is another program's line.
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [ "$verb" = run ] && [ "${COMP_WORDS[i]}" = -- ]; then
            if [ $((i + 1)) -eq "$COMP_CWORD" ]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
            fi
            return
        fi
    done
    mapfile -t COMPREPLY < <(compgen -W "$(_divvy_words "$verb" "${COMP_WORDS[COMP_CWORD - 1]}")" -- "$word")
}

complete -o bashdefault -F _divvy divvy

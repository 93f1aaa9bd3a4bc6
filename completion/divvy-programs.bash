# Completion for bash of all programs but divvy and ggo, which have files of their own: options and commands, as each one's help lists
# them. Installed under the name of each program.
# shellcheck shell=bash

# The lines of a program's help; what has commands has helps of these too.
_divvy_program_help() { "$@" --help 2>/dev/null; }

# Options, with a short name, a value or neither: "  -p, --port=PORT", "  --target PROGRAM", "--xenstore[=SOCKET]".
_divvy_program_options() { grep -oE '^ +(-., +)?--[a-z][a-z-]*' | grep -oE '\-\-[a-z-]+'; }

# What an option's value is called: PORT, FILE, SOCKET ...
_divvy_program_value() { # OPTION
    sed -nE "s/^ +(-., +)?$1[= ]([A-Za-z|:]+).*/\2/p" | head -n 1
}

# Words before two blanks at an indentation of two that are no options: the commands of divvy-sim, divvy-client and divvy-vgpu.
_divvy_program_commands() { sed -nE 's/^  ([a-z]+(-[a-z]+)*)( [A-Z[].*|  .*)/\1/p'; }

_divvy_program() {
    local program=${COMP_WORDS[0]##*/} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} help value='' words i
    help=$(_divvy_program_help "${COMP_WORDS[0]}")
    # Behind these it is another program's line.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --args | --)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        esac
    done
    case $before in --*) value=$(_divvy_program_value "$before" <<<"$help") ;; esac
    case $value in
    '') ;;
    PROGRAM) mapfile -t COMPREPLY < <(compgen -c -- "$word") && return ;;
    FOLDER | DIR) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
    FILE | PATH | SOCKET) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    WHAT) mapfile -t COMPREPLY < <(compgen -W 'fail wait fallback' -- "$word") && return ;;
    WHEN) mapfile -t COMPREPLY < <(compgen -W 'never on-failure always' -- "$word") && return ;;
    FORMAT) mapfile -t COMPREPLY < <(compgen -W 'text json journal auto' -- "$word") && return ;;
    CLASS) mapfile -t COMPREPLY < <(compgen -W 'low medium high' -- "$word") && return ;;
    *\|*)
        mapfile -t COMPREPLY < <(compgen -W "$(tr '|' '\n' <<<"$value" | grep -E '^[a-z]+$')" -- "$word")
        return
        ;;
    *) COMPREPLY=() && return ;;
    esac
    words="--help $(_divvy_program_options <<<"$help")"
    case $program in
    divvy-sim | divvy-client | divvy-vgpu)
        # The first word that is no option is the command.
        for ((i = 1; i < COMP_CWORD; i++)); do
            [[ ${COMP_WORDS[i]} == [a-z]* && ${COMP_WORDS[i - 1]} != -* ]] && break
        done
        if [ $i = "$COMP_CWORD" ]; then
            words="$words $(_divvy_program_commands <<<"$help")"
        elif [ "$program" = divvy-sim ]; then
            words=$(_divvy_program_help "${COMP_WORDS[0]}" "${COMP_WORDS[i]}" | _divvy_program_options)
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word" | sort -u)
}

complete -o bashdefault -F _divvy_program divvyd divvy-runner runner divvy-worker tensor-fusion-worker divvy-relay divvy-client \
    divvy-vgpu divvy-vgpu-stub divvy-sim

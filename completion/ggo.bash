# Completion of ggo for bash: commands and options, as its help lists them. Installed where bash-completion looks for it.
# shellcheck shell=bash

_ggo_commands() { ggo "$@" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  .*/\1/p'; }

_ggo_options() { ggo "$@" --help 2>/dev/null | grep -oE '^ +(-., +)?--[a-z-]+' | grep -oE '\-\-[a-z-]+'; }

_ggo() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=() path=() i
    case $before in
    --isolation-mode) words=(shared soft partitioned) ;;
    --output | -o) words=(table json) ;;
    --config-dir | --state-dir | --output-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
    --accelerator-lib | --worker-binary) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    *)
        # The words that are no options: the command.
        for ((i = 1; i < COMP_CWORD && ${#path[@]} < 2; i++)); do
            case ${COMP_WORDS[i]} in -*) ;; *) path+=("${COMP_WORDS[i]}") ;; esac
        done
        case ${path[0]-} in
        '') mapfile -t words < <(_ggo_commands && echo help) ;;
        help) mapfile -t words < <(_ggo_commands "${path[@]:1}") ;;
        agent | worker | share)
            if [ ${#path[@]} = 1 ]; then mapfile -t words < <(_ggo_commands "${path[0]}"); else mapfile -t words < <(_ggo_options "${path[@]}"); fi
            ;;
        launch)
            [[ $word == -* ]] || { mapfile -t COMPREPLY < <(compgen -c -- "$word") && return; }
            mapfile -t words < <(_ggo_options launch)
            ;;
        *) mapfile -t words < <(_ggo_options "${path[0]}") ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$word")
}

complete -o bashdefault -F _ggo ggo

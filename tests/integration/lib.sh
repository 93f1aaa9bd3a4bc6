# What the shell tests of this folder share: sourced, not run. `checks` and `failures` count; a script ends with `summary`.
# A script may define explain(): it is called where waiting was in vain.
# shellcheck shell=bash
checks=0 failures=0

check() { # WHAT EXPECTED GOT
    checks=$((checks + 1))
    if [ "$2" != "$3" ]; then
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
    fi
}

check_has() { # WHAT PART TEXT
    checks=$((checks + 1))
    case $3 in
    *"$2"*) ;;
    *)
        printf 'FAILED: %s\n  expected to hold: %s\n  got: %s\n' "$1" "$2" "$3"
        failures=$((failures + 1))
        ;;
    esac
}

until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.04
    done
}

eventually() { # WHAT COMMAND...: true within 20 s
    local what=$1
    shift
    checks=$((checks + 1))
    until_true 20 "$@" && return 0
    printf 'FAILED: %s (%s)\n' "$what" "$*"
    if declare -F explain >/dev/null; then explain; fi
    failures=$((failures + 1))
    return 1
}

gone() { ! kill -0 "$1" 2>/dev/null; } # PID

summary() { # the counts; false when something failed
    echo "$checks checks, $failures failed"
    [ "$failures" -eq 0 ]
}

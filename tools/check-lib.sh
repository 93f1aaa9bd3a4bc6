# shellcheck shell=bash
# Shared by the checks of tools/check.d. Sourced from the root of the source tree with the environment that
# tools/check sets.

skip() {
    printf '%s\n' "$*"
    exit 77
}

need_tool() { command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"; }

need_build() {
    [ -n "${DIVVY_BUILD:-}" ] || skip "nothing is built yet (cmake --preset release && cmake --build --preset release)"
}

# A sanitizer adds libraries and symbols of its own, so what ships cannot be judged by such a build.
need_plain_build() {
    need_build
    ! grep -q '^DIVVY_SANITIZE:STRING=.' "$DIVVY_BUILD/CMakeCache.txt" || skip "a sanitizer build says nothing about what ships"
}

# Libraries that are loaded into other people's processes, as paths below the build folder.
injected_libraries() {
    local library
    for library in libcuda_limiter.so libadd_path.so; do
        [ ! -f "$DIVVY_BUILD/lib/$library" ] || printf '%s\n' "lib/$library"
    done
}

# present FOLDER...: those of them that exist, for commands that mind the others. src is always there.
present() {
    local folder
    for folder in "$@"; do [ ! -d "$folder" ] || printf '%s\n' "$folder"; done
}

# tree_files GLOB...: the project's own files of these names, build folders left out.
tree_files() {
    local globs=() glob
    for glob in "$@"; do globs+=(-o -name "$glob"); done
    find . \( -name .git -o -name build -o -name .cache \) -prune -o -type f \( "${globs[@]:1}" \) -print |
        sed 's|^\./||' | sort
}

# Shell scripts by their first line or the directive that sourced files carry.
shell_files() {
    tree_files '*' | while IFS= read -r file; do
        head -c 64 "$file" | head -n 1 | tr -d '\000' | grep -qE '^#!.*\b(ba|da)?sh\b|^# shellcheck shell=' && printf '%s\n' "$file"
    done || true
}

# C text without comments, string and character literals, line numbers kept: what remains is code.
bare_code() {
    awk '
    BEGIN { state = "code" }
    {
        text = $0; out = ""; n = length(text)
        for (i = 1; i <= n; i++) {
            c = substr(text, i, 1); two = substr(text, i, 2)
            if (state == "comment") { if (two == "*/") { state = "code"; i++ } }
            else if (state == "string" || state == "char") {
                quote = state == "string" ? "\"" : "\047"
                if (c == "\\") i++
                else if (c == quote) { state = "code"; out = out c }
            }
            else if (two == "/*") { state = "comment"; i++; out = out " " }
            else if (two == "//") break
            else if (c == "\"") { state = "string"; out = out c }
            else if (c == "\047") { state = "char"; out = out c }
            else out = out c
        }
        if (state == "string" || state == "char") state = "code"
        print out
    }' "$1"
}

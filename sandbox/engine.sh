#!/bin/sh
# Makes a Docker Engine answer on this machine: uses the one that runs, else starts the one that is installed, else
# installs docker.io through apt. Says what it did. Exit status: 0 an engine answers, 1 none does (the reason is printed).
set -eu

WAIT_SECONDS=60
LOG=/var/log/dockerd.log

say() { echo "sandbox: $*"; }
refuse() {
    say "$*" >&2
    exit 1
}
answers() { docker info >/dev/null 2>&1; }

# Runs a command as root, or fails when this user may not.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
may_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

wait_for_engine() {
    seconds=0
    while [ "$seconds" -lt "$1" ]; do
        if as_root docker info >/dev/null 2>&1; then return 0; fi
        sleep 1
        seconds=$((seconds + 1))
    done
    return 1
}

install_engine() {
    command -v apt-get >/dev/null || refuse "no Docker Engine, and no apt to install one with; install Docker yourself"
    say "installing docker.io through apt"
    as_root apt-get update -qq || say "apt-get update failed; trying with the package lists that are here"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends docker.io iptables \
        >/dev/null || refuse "apt could not install docker.io"
}

# A second daemon beside a running one would take away its network bridge.
daemon_runs() { [ -n "$(pidof dockerd 2>/dev/null || true)" ]; }

start_engine() {
    if daemon_runs; then
        say "a dockerd is running already; waiting for it"
    elif [ -d /run/systemd/system ]; then
        say "starting the docker service with systemctl"
        as_root systemctl start docker || true
    else
        say "starting dockerd in the background, log in $LOG"
        as_root sh -c "setsid dockerd >>$LOG 2>&1 </dev/null &"
    fi
    wait_for_engine "$WAIT_SECONDS" || refuse "the Docker Engine did not come up in $WAIT_SECONDS s; see $LOG or journalctl -u docker"
}

if command -v docker >/dev/null && answers; then
    say "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
    exit 0
fi
[ -z "${DOCKER_HOST:-}" ] || refuse "no Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"
may_be_root || refuse "no Docker Engine answers, and this user may not start or install one; start it, or run once as root"
PATH="$PATH:/usr/sbin:/sbin"
command -v dockerd >/dev/null || install_engine
start_engine
answers || refuse "the Docker Engine runs, but this user may not use it: add it to the group docker and log in again"
say "Docker Engine $(docker version --format '{{.Server.Version}}') answers"

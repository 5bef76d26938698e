#!/usr/bin/env bash
# Makes a checkout in /opt/protokol into an installed system. Run as root; may be run again, after an update too.
#
#   install.sh             the server and agents on one host
#   install.sh server      the council server alone
#   install.sh agent       a room host alone: no npm, no rooms file
#
# With DESTDIR set, only places files under it (for packaging and tests). Never overwrites what staff edit.
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
etc="${DESTDIR:-}/etc/protokol"
roles=("${@:-server}")
[ $# -gt 0 ] || roles=(server agent)
for role in "${roles[@]}"; do
  case $role in
    server | agent) ;;
    *) echo "install.sh: unknown role '$role'; write server, agent, or nothing for both" >&2; exit 2 ;;
  esac
done

has() { [[ " ${roles[*]} " == *" $1 "* ]]; }

place() { # MODE FILE DESTINATION
  install -D -m "$1" "$2" "${DESTDIR:-}$3"
}

place_once() { # MODE FILE DESTINATION: what staff have edited stays
  [ -e "${DESTDIR:-}$3" ] || place "$@"
}

install_programs() {
  packages=(python3-venv)
  if has agent; then packages+=(libportaudio2); fi
  if has server && ! command -v npm >/dev/null; then packages+=(npm); fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
  [ -x "$home/.venv/bin/python" ] || python3 -m venv "$home/.venv"
  bash "$home/install-wheels.sh" "$home/.venv" "$home/requirements.lock"
  if has server; then (cd "$home" && npm ci --silent --omit=dev --no-audit --no-fund); fi
}

install_files() {
  place 644 "$home/systemd/protokol.sysusers" /usr/lib/sysusers.d/protokol.conf
  place 644 "$home/systemd/protokol.tmpfiles" /usr/lib/tmpfiles.d/protokol.conf
  place_once 644 "$home/systemd/protokol.toml" /etc/protokol/protokol.toml
  if has agent; then
    place 644 "$home/systemd/protokol-agent@.service" /etc/systemd/system/protokol-agent@.service
  fi
  if has server; then
    for unit in protokol-server.service protokol-retention.service protokol-retention.timer; do
      place 644 "$home/systemd/$unit" "/etc/systemd/system/$unit"
    done
    place_once 644 "$home/recorder/rooms.yaml" /etc/protokol/rooms.yaml
  fi
  install -d "${DESTDIR:-}/usr/local/bin"
  ln -sfn /opt/protokol/.venv/bin/protokol "${DESTDIR:-}/usr/local/bin/protokol"
}

activate() {
  systemd-sysusers
  systemd-tmpfiles --create protokol.conf
  systemctl daemon-reload
  # Made once: without it nothing that was recorded can be read.
  if has server && [ ! -e /etc/protokol/master.key ]; then
    (umask 077 && head -c 32 /dev/urandom >/etc/protokol/master.key.new && sync /etc/protokol/master.key.new)
    chgrp protokol /etc/protokol/master.key.new
    # `protokol` on the command line runs as the server's user.
    chmod 640 /etc/protokol/master.key.new
    mv -n /etc/protokol/master.key.new /etc/protokol/master.key
    sync /etc/protokol
    echo "Made /etc/protokol/master.key: put a copy of it into a safe, away from this machine's backups."
  fi
  # The server extends recording windows in it.
  if [ -f /etc/protokol/rooms.yaml ]; then
    chgrp protokol /etc/protokol/rooms.yaml
    chmod 664 /etc/protokol/rooms.yaml
  fi
}

if [ -n "${DESTDIR:-}" ]; then
  install_files
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "install.sh: run it as root" >&2
  exit 2
fi
if [ "$home" != /opt/protokol ]; then
  echo "install.sh: the units expect the checkout in /opt/protokol, not in $home; move it there" >&2
  exit 2
fi
install_programs
install_files
activate
echo "Protokol is installed. Settings: $etc/protokol.toml"

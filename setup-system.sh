#!/usr/bin/env bash
# Installs the Debian packages that Protokol needs, when root or sudo is at hand; else says which are missing.
# Why each is here:
#   gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good}   the simulated camera is a real RTSP server
#   ffmpeg                    the peer of the benchmarks, and the independent decoder of the tests
#   libportaudio2             what records a microphone
#   pulseaudio pulseaudio-utils libasound2-plugins   a microphone without hardware, with a clock of its own
#   chromium                  the browser tests look at real pages
#   firefox-esr vlc-bin vlc-plugin-base mediainfo   what else people open a clip with
#   fonts-dejavu              the letters of certificates in PDF, and of those pages
#   poppler-utils             the independent reader of those PDFs in the tests
#   libatomic1                what drives the browser in the tests is linked against it
#   nodejs npm                front-end files
#   systemd                   systemd-analyze checks the units
#   postgresql                the tests start servers of their own with its programs; a council may keep its archive in one
#   iproute2                  cameras are looked for in a network of the test's own
#   strace                    the tests see the order of calls to the disk, and let them fail
#   e2fsprogs mount           a disk of the tests' own loses its power
#   nginx-light               the peer of `bench clip`
set -euo pipefail

PACKAGES=(
  python3.11 python3.11-venv
  gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  libportaudio2 pulseaudio pulseaudio-utils libasound2-plugins
  ffmpeg chromium firefox-esr vlc-bin vlc-plugin-base mediainfo fonts-dejavu-core poppler-utils libatomic1
  systemd iproute2 postgresql strace e2fsprogs mount nginx-light
)
# A Node.js of another origin is as good; Debian's npm would clash with it.
command -v node >/dev/null && command -v npm >/dev/null || PACKAGES+=(nodejs npm)

missing=()
for package in "${PACKAGES[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "Protokol needs these Debian packages, and neither root nor sudo is at hand:" >&2
    printf '  %s\n' "${missing[@]}" >&2
    echo "Ask an administrator to run:  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Debian's package would make a cluster of its own and start it: the tests want its programs alone. Where a
# cluster is there already, nothing changes.
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
  "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
  echo "create_main_cluster = false" |
    "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/protokol.conf >/dev/null
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# The bench starts one of its own; nobody asked for one on port 80.
if [[ " ${missing[*]} " == *" nginx-light "* && -d /run/systemd/system ]]; then
  "${as_root[@]}" systemctl disable --now nginx.service
fi

#!/usr/bin/env bash
# Installs what building and testing srengine need, from the distribution's packages (Debian 12, Ubuntu 24.04).
# Does nothing where everything is there. As an ordinary user without sudo it says what is missing and stops.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config
  libnifti2-dev libniftiio-dev libznz-dev zlib1g-dev  # scans
  libssl-dev libzip-dev nlohmann-json3-dev            # weights and checkpoints
  libhwy-dev libkissfft-dev libpng-dev                # kernels, k-space, pictures
  libcli11-dev libfmt-dev catch2                      # program and tests
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
  as_root=(sudo)
else
  echo "setup.sh: these packages are missing: ${missing[*]}" >&2
  echo "setup.sh: ask an administrator for: apt-get install ${missing[*]}" >&2
  exit 1
fi

echo "setup.sh: installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# Installs what building and testing srengine need, from the distribution's packages (Debian 12 and 13, Ubuntu 24.04).
# Does nothing where everything is there. As an ordinary user without sudo it says what is missing and stops.
# Where nvcc is, clang-19 too, with which tests/cuda_sm61.sh compiles for Pascal; that test is skipped without it, so
# where the distribution has no such package or it cannot be installed, setup.sh goes on.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache pkg-config
  libnifti2-dev libniftiio-dev libznz-dev zlib1g-dev  # scans
  libssl-dev libzip-dev nlohmann-json3-dev            # weights and checkpoints
  libonnx-dev libprotobuf-dev                         # networks for other programs
  libhwy-dev libkissfft-dev libpng-dev                # kernels, k-space, pictures
  libcli11-dev libfmt-dev catch2                      # program and tests
  libopenmpi-dev openmpi-bin                          # training in several processes
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
can_install() {
  [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}
update() {
  "${as_root[@]}" apt-get update -qq
}
install() {
  echo "setup.sh: installing $*" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ ${#missing[@]} -gt 0 ]; then
  if ! can_install; then
    echo "setup.sh: these packages are missing: ${missing[*]}" >&2
    echo "setup.sh: ask an administrator for: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  update
  install "${missing[@]}"
fi

if { command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; } >/dev/null && ! command -v clang++-19 >/dev/null &&
  can_install; then
  compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || update || true
  if [ -n "$(apt-cache show clang-19 2>/dev/null)" ]; then
    install clang-19 || echo "setup.sh: clang-19 could not be installed; tests/cuda_sm61.sh will be skipped" >&2
  fi
fi

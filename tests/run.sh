#!/usr/bin/env bash
# Runs every check and test of Belfry. Needs cargo (https://rustup.rs), a C compiler, Node.js 20 or later with npm,
# and Python 3.10 or later; everything else is installed below, and each step says what it does. The browser tests need Chromium besides.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
need() { command -v "$1" > /dev/null || { printf '%s is missing: %s\n' "$1" "$2" >&2; exit 1; }; }

need cargo "install Rust from https://rustup.rs"
need cc "install a C compiler, such as Debian's package gcc"
need npm "install Node.js 20 or later, with npm"
need python3 "install Python 3.10 or later, with its module venv (Debian: python3-venv)"
cargo fmt --version > /dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version > /dev/null 2>&1 || rustup component add clippy

step "Format"
cargo fmt --check

step "Lints (clippy, warnings are errors)"
cargo clippy --locked --all-targets -- -D warnings

target="$(cargo metadata --format-version 1 --no-deps | node -e '
  let text = ""; process.stdin.on("data", (part) => (text += part)).on("end", () => console.log(JSON.parse(text).target_directory));
')"

step "The fuzz targets compile (the fuzzer itself is not needed for that)"
CUSTOM_LIBFUZZER_PATH=/dev/null cargo check --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir "$target"

step "Rust tests: properties, simulation, failing disks, architecture; the real binary with a real SMTP server, also killed"
cargo test --locked

export BELFRY_BIN="$target/debug/belfry"

step "SDK tests: install the official SDKs (npm ci)"
(cd tests/sdk && npm ci --no-audit --no-fund)

step "SDK tests: install the official Python SDK and schemathesis into tests/sdk/.venv"
python3 -m venv tests/sdk/.venv
tests/sdk/.venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/sdk/python/requirements.txt

step "SDK tests: Knock's Node and Python SDKs, its browser client, and requests made of the API's description"
(cd tests/sdk && npm test)

step "Browser tests: find Chromium, or install it with apt where that needs no password"
find_chromium() { export CHROMIUM="${CHROMIUM:-$(command -v chromium || true)}"; [ -n "$CHROMIUM" ]; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
install_chromium() {
  command -v apt-get > /dev/null && as_root true 2> /dev/null || return 1
  as_root apt-get update && as_root apt-get install --yes --no-install-recommends chromium fonts-dejavu-core
}
if ! find_chromium && ! { install_chromium && find_chromium; }; then
  printf '%s\n' "SKIPPED: the browser tests need Chromium. It is not here, and apt could not install it." \
    "Install it (Debian: apt-get install chromium), or name the program in CHROMIUM, and run this again."
  step "Everything else passed"
  exit
fi

step "Browser tests: install Knock's React components (npm ci)"
(cd tests/browser && npm ci --no-audit --no-fund)

step "Browser tests: Knock's React components in $CHROMIUM against the real binary"
(cd tests/browser && npm test)

step "Everything passed"

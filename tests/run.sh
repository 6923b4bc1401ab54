#!/usr/bin/env bash
# Runs every check and test of Belfry. Needs cargo (https://rustup.rs), a C compiler, and Node.js 20 or later with npm;
# everything else is installed below, and each step says what it does.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
need() { command -v "$1" > /dev/null || { printf '%s is missing: %s\n' "$1" "$2" >&2; exit 1; }; }

need cargo "install Rust from https://rustup.rs"
need cc "install a C compiler, such as Debian's package gcc"
need npm "install Node.js 20 or later, with npm"
cargo fmt --version > /dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version > /dev/null 2>&1 || rustup component add clippy

step "Format"
cargo fmt --check

step "Lints (clippy, warnings are errors)"
cargo clippy --locked --all-targets -- -D warnings

step "Rust tests: properties, simulation, architecture, the real binary with a real SMTP server"
cargo test --locked

step "SDK tests: install the official SDKs (npm ci)"
cd tests/sdk
npm ci --no-audit --no-fund

step "SDK tests: Knock's Node SDKs against the real binary"
BELFRY_BIN="$(cd ../.. && cargo metadata --format-version 1 --no-deps | node -e '
  let text = ""; process.stdin.on("data", (part) => (text += part)).on("end", () => console.log(JSON.parse(text).target_directory));
')/debug/belfry" npm test

step "Everything passed"

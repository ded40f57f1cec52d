#!/usr/bin/env bash
# The page in a real browser: builds the program, then drives Chromium by node. Where node, npm or
# a Chromium are missing it says that it skipped, and fails nobody.
#
# CARRY_CHROMIUM names the browser; the screenshots are in target/page-screenshots/. With CARRY_IS_BUILT
# the program is taken as `cargo test --workspace` has left it.
set -euo pipefail
cd "$(dirname "$0")/../../../.."

skip() {
    printf 'skipped: the page in a browser: %s\n' "$1"
    exit 0
}

command -v node >/dev/null || skip "node is not installed"
command -v npm >/dev/null || skip "npm is not installed"
for browser in "${CARRY_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    [[ -n $browser ]] && CARRY_CHROMIUM=$(command -v "$browser") && break
done
[[ -n ${CARRY_CHROMIUM:-} ]] || skip "no chromium is installed"
export CARRY_CHROMIUM

if [[ -z ${CARRY_IS_BUILT:-} ]]; then
    cargo build --package xtask
    cargo build --package page --example gradients
fi
target=${CARGO_TARGET_DIR:-target}
CARRY_TARGET=$(cd "$target" && pwd)
export CARRY_TARGET

cd crates/page/tests/browser
# The lock file pins what is installed.
npm ci --silent --no-audit --no-fund || [[ -d node_modules/playwright-core && -d node_modules/axe-core ]] \
    || skip "npm cannot install what package-lock.json names"
# A browser that hangs must not hold everything up.
exec timeout 900 node run.mjs "$@"

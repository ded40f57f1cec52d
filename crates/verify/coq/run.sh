#!/usr/bin/env bash
# Proves in Coq, from the weights and boxes of the smallest committed certificates, that every digit
# is right for every list of pairs. Needs Coq (8.16) with coq-interval: Debian's coq and
# libcoq-interval, and Python 3. Exit code 0 with the proofs, or where Coq is not installed, which is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v coqc >/dev/null || ! command -v python3 >/dev/null \
    || [[ ! -d $(coqc -where)/user-contrib/Interval ]]; then
    echo "proofs in Coq skipped: coq, libcoq-interval or python3 is not installed"
    exit 0
fi
folder=${CARGO_TARGET_DIR:-../../target}/coq
mkdir -p "$folder"
for name in two-units-with-biases three-units-without-biases; do
    file="$folder/${name//-/_}.v"
    python3 coq/generate.py "tests/fixtures/certified/$name" > "$file"
    # What the proof rests on; an axiom of our own, or a gap, would be listed with the rest.
    coqc -q "$file" > "$folder/$name.axioms"
    if grep -qE '^(every_digit|step_|steps|from_any_node|carries)' "$folder/$name.axioms" || grep -qE 'Admitted|Axiom|Parameter|Hypothesis ' "$file"; then
        echo "the proof for $name is not complete"
        exit 1
    fi
    echo "proved in Coq: $name, every digit is right for every list of pairs"
done

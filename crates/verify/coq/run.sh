#!/usr/bin/env bash
# Proves in Coq, from the weights and boxes of the smallest committed certificates (of addition, and of
# parity), that after every list of symbols every output is right, run in f32 with sums in any order.
# Needs Coq (8.16) with coq-interval and coq-flocq: Debian's coq, libcoq-interval and libcoq-flocq, and
# Python 3. Exit code 0 with the proofs, or where these are not installed, which is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v coqc >/dev/null || ! command -v python3 >/dev/null \
    || [[ ! -d $(coqc -where)/user-contrib/Interval || ! -d $(coqc -where)/user-contrib/Flocq ]]; then
    echo "proofs in Coq skipped: coq, libcoq-interval, libcoq-flocq or python3 is not installed"
    exit 0
fi
folder=$(realpath -m "${CARGO_TARGET_DIR:-../../target}/coq")
rm -rf "$folder"
mkdir -p "$folder"
# Coq leaves caches where it runs.
prove() (
    cd "$folder"
    coqc -q -Q . Carry "$1"
)
cp coq/f32.v "$folder"
prove f32.v
for file in fixtures/certified/two-units-with-biases fixtures/certified/three-units-without-biases \
    vectors/holds-parity; do
    name=$(basename "$file")
    proof="${name//-/_}.v"
    python3 coq/generate.py "tests/$file" > "$folder/$proof"
    # What the proof rests on is listed: the axioms of the reals, and of the processor's integers and
    # floats, with which coq-interval computes. An axiom of our own, or a gap, would stand there, too.
    prove "$proof" > "$folder/$name.axioms"
    if grep -E '^[A-Za-z_]' "$folder/$name.axioms" | grep -qvE \
        '^(Axioms:$|(ClassicalDedekindReals|FunctionalExtensionality|Classical_Prop|Uint63|PrimInt63|FloatAxioms|PrimFloat)\.)' \
        || grep -qE 'Admitted|Axiom|Parameter|Hypothesis|Variable' "$folder/$proof" "$folder/f32.v"; then
        echo "the proof for $name is not complete"
        exit 1
    fi
    echo "proved in Coq: $name, every output is right for every list of symbols"
done

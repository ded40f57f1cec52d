#!/bin/sh
# Do two ranks behind a slow network come to the bits of two threads? Takes the program, built with
# MPI. Passes where no namespaces may be made, and says so.
set -eu

program=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
train="$program train --quiet --strategy averaging --push-every 256 --examples 8192"

$train --threads 2 --out threads
for network in "10gbit 0" "1gbit 200us" "100mbit 20ms"; do
    # OpenMPI's daemons do not always find each other at once: three tries.
    for _ in 1 2 3; do
        code=0
        # shellcheck disable=SC2086
        timeout 100 "$here/slow.sh" 2 $network $train --out ranks --force --threads 1 || code=$?
        [ "$code" != 0 ] && [ "$code" != 77 ] || break
    done
    if [ "$code" = 77 ]; then
        echo "skipped: no network namespaces may be made here"
        exit 0
    fi
    [ "$code" = 0 ]
    cmp threads/model.safetensors ranks/model.safetensors
    echo "$network: the same bits as two threads"
    rm -r ranks
done

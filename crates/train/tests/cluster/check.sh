#!/bin/sh
# Do two ranks behind a slow network, and on two machines reached by ssh, come to the bits of two
# threads? Takes the program, built with MPI. Passes where no namespaces may be made, and says so.
set -eu

program=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
train="$program train --quiet --strategy averaging --push-every 256 --examples 8192"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# same WHERE COMMAND...: the command's two ranks leave the bits of two threads in the folder ranks.
same() {
    where=$1
    shift
    # OpenMPI's daemons do not always find each other at once: three tries.
    for _ in 1 2 3; do
        code=0
        timeout 100 "$@" --out ranks --force --threads 1 || code=$?
        [ "$code" != 0 ] && [ "$code" != 77 ] || break
    done
    if [ "$code" = 77 ]; then
        echo "skipped: $where"
        return
    fi
    [ "$code" = 0 ]
    cmp threads/model.safetensors ranks/model.safetensors
    echo "$where: the same bits as two threads"
    rm -r ranks
}

$train --threads 2 --out threads
for network in "10gbit 0" "1gbit 200us" "100mbit 20ms"; do
    # shellcheck disable=SC2086
    same "$network" "$here/slow.sh" 2 $network $train
done
# shellcheck disable=SC2086
same "two machines by ssh" "$here/ssh.sh" 2 mpirun --bind-to none -n 2 --hostfile HOSTS $train

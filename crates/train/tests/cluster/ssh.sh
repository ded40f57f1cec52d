#!/bin/sh
# Runs a command where several machines can be reached by ssh: network namespaces with host names and
# ssh servers of their own, joined by veth. The command runs on the first one.
#
#   ssh.sh MACHINES COMMAND...        ssh.sh 2 cargo xtask cluster -n 2 --hosts HOSTS -- train …
#
# HOSTS stands for the file of the machines, one slot each. Needs root and openssh-server. Exits with 77
# where there is no ssh server, or namespaces may not be made.
set -eu

machines=$1
shift
server=$(PATH=$PATH:/usr/sbin command -v sshd) || { echo "there is no sshd" >&2; exit 77; }
name=carry$$
work=$(mktemp -d)
finish() {
    for machine in $(seq 0 $((machines - 1))); do
        [ ! -f "$work/$machine.pid" ] || kill "$(cat "$work/$machine.pid")" 2>/dev/null || true
        ip netns del "$name-$machine" 2>/dev/null || true
    done
    ip link del "$name" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

ssh-keygen -q -t ed25519 -N "" -f "$work/server"
ssh-keygen -q -t ed25519 -N "" -f "$work/client"
mkdir -p /run/sshd
cat > "$work/config" <<CONFIG
IdentityFile $work/client
UserKnownHostsFile $work/known
StrictHostKeyChecking accept-new
LogLevel ERROR
CONFIG

ip netns add "$name-0" 2>/dev/null || { echo "no namespaces may be made" >&2; exit 77; }
ip link add "$name" type bridge
ip link set "$name" up
for machine in $(seq 0 $((machines - 1))); do
    space=$name-$machine
    [ "$machine" = 0 ] || ip netns add "$space"
    ip -n "$space" link set lo up
    ip link add "v$$-$machine" type veth peer name wire0 netns "$space"
    ip link set "v$$-$machine" master "$name" up
    ip -n "$space" addr add "10.98.0.$((machine + 1))/24" dev wire0
    ip -n "$space" link set wire0 up
    ip netns exec "$space" unshare --uts sh -c "hostname machine$machine; exec $server -f /dev/null \
        -h $work/server -o PidFile=$work/$machine.pid -o AuthorizedKeysFile=$work/client.pub \
        -o PermitRootLogin=prohibit-password -o StrictModes=no -o UsePAM=no"
    echo "10.98.0.$((machine + 1)) slots=1" >> "$work/hosts"
done

# The words of the command, with HOSTS in its place.
for word in "$@"; do
    shift
    [ "$word" != HOSTS ] || word=$work/hosts
    set -- "$@" "$word"
done
export OMPI_MCA_plm_rsh_agent="ssh -F $work/config"
# Two daemons of one machine that write their map of it to shared memory at once crash (OpenMPI 4.1).
export OMPI_MCA_rtc=^hwloc
ip netns exec "$name-0" unshare --uts sh -c 'hostname machine0; exec "$@"' sh "$@"

#!/bin/sh
# Runs an MPI program on ranks in network namespaces of their own, joined by a network of a limited
# rate and delay, over TCP alone.
#
#   slow.sh RANKS RATE DELAY COMMAND...        slow.sh 2 100mbit 20ms target/release/xtask train …
#
# With veth, a bridge and tc's netem where the kernel has it, else through wire.py. A DELAY of 0 is
# that of veth itself (some 20 µs), and needs no netem. Needs root. Exits with 77 where namespaces may
# not be made.
set -eu

ranks=$1 rate=$2 delay=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
name=carry$$
work=$(mktemp -d)

# OpenMPI starts a daemon on each "machine" by this, and what it asks for there: slow.sh's own agent.
agent=$work/agent
cat > "$agent" <<AGENT
#!/bin/sh
# agent HOST WORDS...: the shell's line, in the namespace of HOST.
host=\$1
shift
exec ip netns exec "\$host" sh -c "\$*"
AGENT
chmod +x "$agent"

wire=
finish() {
    [ -z "$wire" ] || kill "$wire" 2>/dev/null || true
    for rank in $(seq 0 $((ranks - 1))); do
        ip netns del "$name-$rank" 2>/dev/null || true
    done
    ip link del "$name" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

ends=
: > "$work/hosts"
for rank in $(seq 0 $((ranks - 1))); do
    ip netns add "$name-$rank" 2>/dev/null || { echo "no namespaces may be made" >&2; exit 77; }
    ip -n "$name-$rank" link set lo up
    ends="$ends $name-$rank=10.99.0.$((rank + 1))/24"
    echo "$name-$rank slots=1" >> "$work/hosts"
done

# veth and a bridge: each rank's own end is slowed down.
veth() {
    ip link add "$name" type bridge && ip link set "$name" up || return 1
    for rank in $(seq 0 $((ranks - 1))); do
        ip link add "v$$-$rank" type veth peer name wire0 netns "$name-$rank" || return 1
        ip link set "v$$-$rank" master "$name" up
        ip -n "$name-$rank" addr add "10.99.0.$((rank + 1))/24" dev wire0
        ip -n "$name-$rank" link set wire0 up
        case $delay in
        0) tc -n "$name-$rank" qdisc add dev wire0 root tbf rate "$rate" burst 128kb latency 50ms ;;
        *) tc -n "$name-$rank" qdisc add dev wire0 root netem \
            rate "$rate" delay "$delay" limit 100000 2>/dev/null ;;
        esac || return 1
    done
}

if ! veth; then
    for rank in $(seq 0 $((ranks - 1))); do
        ip -n "$name-$rank" link del wire0 2>/dev/null || true
    done
    ip link del "$name" 2>/dev/null || true
    # RATE and DELAY as numbers: bits a second, seconds.
    bits=$(echo "$rate" | sed 's/gbit/e9/; s/mbit/e6/; s/kbit/e3/')
    seconds=$(echo "$delay" | sed 's/us/e-6/; s/ms/e-3/; s/s$//')
    mkfifo "$work/in" "$work/out"
    # A wire does not wait for a core. It is busy for some microseconds a packet.
    first=$(chrt -f 30 true 2>/dev/null && echo "chrt -f 30" || true)
    # shellcheck disable=SC2086
    $first python3 "$here/wire.py" "$bits" "$seconds" $ends < "$work/in" > "$work/out" &
    wire=$!
    exec 3> "$work/in"
    read -r _ < "$work/out"
fi

# mpirun itself is in the first namespace; its daemons find it by the wire. Two daemons on a machine
# that write their map of it to shared memory at once crash (OpenMPI 4.1): rtc without hwloc.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
ip netns exec "$name-0" mpirun --hostfile "$work/hosts" -n "$ranks" --map-by node --bind-to none \
    --mca plm_rsh_agent "$agent" --mca orte_keep_fqdn_hostnames 1 \
    --mca btl tcp,self --mca btl_tcp_if_include wire0 --mca oob_tcp_if_include wire0 \
    --mca btl_tcp_eager_limit 524288 --mca btl_tcp_rndv_eager_limit 524288 \
    --mca pml ob1 --mca rtc ^hwloc --mca mpi_yield_when_idle 1 "$@"

#!/usr/bin/env python3
"""A slow wire between network namespaces, where the kernel has no `netem`.

    wire.py RATE DELAY NAMESPACE=ADDRESS/BITS ...

One TUN device in each namespace; each packet is read from one, and written to the one that has its
destination, when its last bit would have arrived: after the packets before it on the same sender's
line (RATE bits a second) and DELAY seconds. Ends with its standard input.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
CLONE_NEWNET, PR_SET_TIMERSLACK = 0x40000000, 29
MTU = 65_000
libc = ctypes.CDLL(None, use_errno=True)


def device(namespace, address):
    """The end of a wire in a namespace; opened inside of it."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    for target in (there, home):
        if target == home:
            os.close(there)
        elif libc.setns(target, CLONE_NEWNET):
            sys.exit(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
        else:
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH14x", b"wire0", IFF_TUN | IFF_NO_PI))
            for words in (f"addr add {address} dev wire0", f"link set wire0 mtu {MTU} up"):
                subprocess.run(["ip", *words.split()], check=True)
    libc.setns(home, CLONE_NEWNET)
    os.close(home)
    return tun


def main():
    rate, delay = float(sys.argv[1]), float(sys.argv[2])
    ends = {}  # by address: the device there
    for name, address in (word.split("=") for word in sys.argv[3:]):
        number = bytes(int(part) for part in address.split("/")[0].split("."))
        ends[number] = device(name, address)
    libc.prctl(PR_SET_TIMERSLACK, 1)  # nanoseconds
    free = dict.fromkeys(ends.values(), 0.0)  # when a sender's line is free again
    under_way, count = [], 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        wait = max(under_way[0][0] - now, 0.0) if under_way else None
        ready, _, _ = select.select([*free, sys.stdin], [], [], wait)
        now = time.monotonic()
        if sys.stdin in ready:
            return
        for tun in ready:
            packet = os.read(tun, MTU + 100)
            to = ends.get(packet[16:20])
            if packet[0] >> 4 != 4 or to is None:
                continue
            # A queue of a quarter of a second, and what is behind it is lost, as at a switch.
            if free[tun] - now > 0.25:
                continue
            free[tun] = max(free[tun], now) + 8 * len(packet) / rate
            count += 1
            heapq.heappush(under_way, (free[tun] + delay, count, to, packet))
        while under_way and under_way[0][0] <= now:
            _, _, to, packet = heapq.heappop(under_way)
            try:
                os.write(to, packet)
            except BlockingIOError:
                pass  # full: lost, as at a switch


if __name__ == "__main__":
    main()

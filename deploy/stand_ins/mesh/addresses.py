"""Addresses of pods: 10.x.y.z in the objects, 127.x.y.z on the wire.

A kube-apiserver refuses loopback addresses in EndpointSlices and Endpoints ("may not be in the
loopback range"), and nothing here may listen anywhere else. So the objects carry pod addresses as a
real cluster has them, and what dials or listens puts 127 in place of 10.
"""

from __future__ import annotations

import random
import socket
from typing import Final

_CLAIM_PORT: Final = 4199
_BLOCKS: Final = range(16, 255)


def wire(ip: str) -> str:
    """Return the loopback address that stands for a pod's address; a loopback address itself."""
    return "127." + ip[3:] if ip.startswith("10.") else ip


def is_pod_ip(host: str) -> bool:
    """Whether a host is the literal address of a pod, in either form."""
    parts = host.split(".")
    return (
        len(parts) == 4
        and parts[0] in {"10", "127"}
        and all(part.isdecimal() and int(part) < 256 for part in parts)
    )


class AddressBlock:
    """10.n.0.0/16, claimed for this process: worlds side by side do not meet.

    The claim is a listening socket, so it ends with the process at the latest.
    """

    def __init__(self, rng: random.Random) -> None:
        """Claim a free block. Raises OSError when all are taken."""
        blocks = list(_BLOCKS)
        rng.shuffle(blocks)
        for block in blocks:
            claim = socket.socket()
            try:
                claim.bind((f"127.{block}.0.1", _CLAIM_PORT))
                claim.listen(1)
            except OSError:
                claim.close()
                continue
            self._claim = claim
            self._block = block
            self._taken = 1
            return
        raise OSError("all address blocks are in use")

    def take(self) -> str:
        """Return a pod address that was not given before. Raises OSError after 65,000."""
        self._taken += 1
        high, low = divmod(self._taken, 250)
        if high > 255:
            raise OSError("the address block is used up")
        return f"10.{self._block}.{high}.{low + 1}"

    def release(self) -> None:
        """Return the block up."""
        self._claim.close()

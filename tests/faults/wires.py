"""Connections in memory, for the virtual loop: what a kernel does between two sockets, and nothing more.

What is written is in the peer's buffer at once, and stays there while the peer's process is stopped. A process
that is killed is hung up on: its peers read what it had written, then the end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.virtual import Process, VirtualLoop

Address = tuple[str, int]


class _Name:
    """What is asked of a listening socket."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address


class Server(asyncio.AbstractServer):
    """Something that listens."""

    def __init__(
        self, network: Network, address: Address, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        self.address = address
        self.factory = factory
        self.context = copy_context()
        self.sockets = [_Name(address)]
        self._network = network

    def close(self) -> None:
        """Stop listening."""
        self._network.unlisten(self)

    def is_serving(self) -> bool:
        """Return whether it listens."""
        return self._network.listens(self)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._network.loop

    async def start_serving(self) -> None:
        """Nothing: it listens from the start."""

    async def serve_forever(self) -> None:
        """Nothing: it serves by itself."""

    async def wait_closed(self) -> None:
        """Nothing: it is closed at once."""


class Network:
    """All listeners and all connections of one virtual world."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self._listeners: dict[Address, Server] = {}
        self._ports = itertools.count(20001)
        self._dialled: dict[int, Address] = {}
        self._ends: set[Wire] = set()

    def listen(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Server:
        """Listen, on a free port for 0."""
        address = (host, port) if port else self.free_address()
        if address in self._listeners:
            raise OSError(98, f"{address} is in use")
        server = Server(self, address, factory)
        self._listeners[address] = server
        return server

    def free_address(self) -> Address:
        """Return an address that nobody has."""
        return ("127.0.0.1", next(self._ports))

    def unlisten(self, server: Server) -> None:
        """Stop listening."""
        if self.listens(server):
            del self._listeners[server.address]

    def listens(self, server: Server) -> bool:
        """Return whether it does."""
        return self._listeners.get(server.address) is server

    def dial(self, sock: Any, address: Address) -> None:
        """Note where a socket is connected to. Raises ConnectionRefusedError."""
        if address not in self._listeners:
            raise ConnectionRefusedError(111, f"nobody listens on {address}")
        self._dialled[id(sock)] = address

    def dialled(self, sock: Any) -> Address:
        """Return where a socket is connected to, once."""
        return self._dialled.pop(id(sock))

    async def connect(
        self, factory: Callable[[], asyncio.Protocol], address: Address
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Make a pair of ends. Raises ConnectionRefusedError."""
        server = self._listeners.get(address)
        if server is None:
            raise ConnectionRefusedError(111, f"nobody listens on {address}")
        protocol = factory()
        mine = Wire(self, copy_context(), protocol, address)
        theirs = Wire(self, server.context, server.context.run(server.factory), mine.name)
        mine.peer, theirs.peer = theirs, mine
        for end in (theirs, mine):
            self._ends.add(end)
            self.loop.call_soon(end.begin, context=end.context)
        await asyncio.sleep(0)
        return mine, protocol

    def hang_up(self, process: Process) -> None:
        """Close everything of a process that was killed, as the kernel does."""
        for server in [s for s in self._listeners.values() if _is_of(s.context, process)]:
            server.close()
        for end in [end for end in self._ends if _is_of(end.context, process)]:
            end.drop()

    def forget(self, end: Wire) -> None:
        """Drop an end that is closed."""
        self._ends.discard(end)


def _is_of(context: Context, process: Process) -> bool:
    return any(value is process for value in context.values())


class Wire(asyncio.Transport):
    """One end of a connection. Its callbacks run in the context that made it, hence in its process."""

    def __init__(
        self, network: Network, context: Context, protocol: asyncio.Protocol, peername: Address
    ) -> None:
        super().__init__({"peername": peername, "sockname": network.free_address()})
        self._network = network
        self.context = context
        self.peer: Wire | None = None
        self._protocol: asyncio.BaseProtocol = protocol
        self._inbox: list[bytes | None] = []
        self._paused = False
        self._closing = False
        self._wrote_eof = False
        self._lost = False
        self._due = False

    @property
    def name(self) -> Address:
        """The local address."""
        address: Address = self.get_extra_info("sockname")
        return address

    def begin(self) -> None:
        """Return the protocol that it is connected."""
        self._protocol.connection_made(self)

    # --- what the protocol asks ------------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return whoever is told."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Return another from now on."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self._closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes into the peer's buffer; after the end they go nowhere, as with a real socket."""
        if data and not self._closing and not self._wrote_eof and self.peer is not None:
            self.peer._arrive(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write all of it at once."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """It can: TCP half-closes."""
        return True

    def write_eof(self) -> None:
        """Half-close: the peer reads the end, and may go on writing."""
        if not self._wrote_eof and self.peer is not None:
            self._wrote_eof = True
            self.peer._arrive(None)

    def close(self) -> None:
        """Close in good order: what was written arrives, then the end."""
        if not self._closing:
            self._closing = True
            self._inbox.clear()
            if self.peer is not None and not self._wrote_eof:
                self.peer._arrive(None)
            self._lose(None)

    def abort(self) -> None:
        """Reset: the peer loses the connection, with what it has not read."""
        if not self._closing:
            self._closing = True
            self._inbox.clear()
            if self.peer is not None:
                self.peer._reset()
            self._lose(None)

    def pause_reading(self) -> None:
        """Leave what comes in the buffer."""
        self._paused = True

    def resume_reading(self) -> None:
        """Read on."""
        self._paused = False
        self._read_soon()

    def is_reading(self) -> bool:
        """Return whether what comes is read."""
        return not self._paused and not self._closing

    def get_write_buffer_size(self) -> int:
        """Nothing waits here: it is in the peer's buffer."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As get_write_buffer_size."""
        return (0, 0)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As get_write_buffer_size."""

    # --- what the kernel does --------------------------------------------------------------------------

    def drop(self) -> None:
        """Let go of an end whose process is gone: nobody here is told."""
        self._closing = self._lost = True
        self._network.forget(self)
        if self.peer is not None and not self._wrote_eof:
            self.peer._arrive(None)

    def _arrive(self, data: bytes | None) -> None:
        if self._closing:
            if data is not None and self.peer is not None:
                self.peer._reset()  # a closed socket answers bytes with RST
            return
        self._inbox.append(data)
        self._read_soon()

    def _read_soon(self) -> None:
        if self._inbox and not self._due and not self._paused:
            self._due = True
            self._network.loop.call_soon(self._read, context=self.context)

    def _read(self) -> None:
        self._due = False
        while self._inbox and not self._paused and not self._closing:
            data = self._inbox.pop(0)
            protocol: Any = self._protocol
            if data is None:
                if not protocol.eof_received():
                    self.close()
            else:
                # What was written together may be read together: the reader cannot rely on either.
                protocol.data_received(data)

    def _reset(self) -> None:
        if not self._closing:
            self._closing = True
            self._inbox.clear()
            self._lose(ConnectionResetError(104, "reset by the peer"))

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._network.forget(self)
            self._network.loop.call_soon(
                self._protocol.connection_lost, error, context=self.context
            )

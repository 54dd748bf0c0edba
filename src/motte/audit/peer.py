"""One connection to the broker under audit: raw packets, deadlines, and a record of both sides."""

import asyncio
import contextlib
import ssl
from typing import Final, NoReturn

from motte.audit import wire
from motte.audit.target import Credential, Target
from motte.audit.wire import Answer, Kind
from motte.text import printable

__all__ = ["Closed", "Peer", "Silent", "Unreachable"]

OPEN_SECONDS: Final = 10.0
"""How long TCP and TLS may take; a busy broker answers within some."""
ANSWER_SECONDS: Final = 5.0
"""How long an answer may take before the broker counts as silent."""
_CERTIFICATE_ALERTS: Final = ("certificate", "handshake failure", "unknown ca", "access denied")
"""Words of the alerts that a client without the right certificate gets (RFC 8446, 6.2)."""
_CHUNK: Final = 65536
"""Bytes of one read."""


class Unreachable(Exception):  # noqa: N818 (what happened, which checks expect)
    """TCP or TLS could not be set up; the text says why.

    ``by_broker`` says that the broker refused us with a TLS alert about the certificate, so that
    it is an answer and not a version of TLS that the two sides do not share.
    """

    def __init__(self, why: str, *, by_broker: bool = False) -> None:
        super().__init__(why)
        self.by_broker = by_broker


class Closed(Exception):  # noqa: N818 (what happened, which checks expect)
    """The broker ended the connection; the text says how."""


class Silent(Exception):  # noqa: N818 (what happened, which checks expect)
    """Nothing came in time."""


class Peer:
    """An open connection. ``log`` is the evidence; it holds no password."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log: list[str],
        version: int = wire.V5,
    ) -> None:
        self.log = log
        self.version = version
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self._kept: list[Answer] = []
        self._next_id = 0

    @classmethod
    async def open(
        cls,
        target: Target,
        *,
        credential: Credential | None = None,
        port: int | None = None,
        tls: bool | None = None,
        context: ssl.SSLContext | None = None,
    ) -> "Peer":
        """Connects, with TLS if the target has it.

        Raises:
            Unreachable: There is no connection, or the handshake fails.
        """
        uses_tls = target.tls if tls is None else tls
        used = (context or target.context(credential)) if uses_tls else None
        number = target.port if port is None else port
        how = "TLS" if uses_tls else "no TLS"
        who = " with a client certificate" if credential and credential.certificate else ""
        log = [f"! {target.address}:{number}, {how}{who}"]
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                reader, writer = await asyncio.open_connection(
                    target.address,
                    number,
                    ssl=used,
                    server_hostname=target.host if used is not None else None,
                )
        except TimeoutError as error:
            raise Unreachable("no connection in time") from error
        except OSError as error:
            why = _why(error)
            refused = "alert" in why and any(word in why for word in _CERTIFICATE_ALERTS)
            raise Unreachable(why, by_broker=refused) from error
        return cls(reader, writer, log)

    def certificate(self) -> bytes | None:
        """The broker's certificate in DER, whoever signed it."""
        tls = self._writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None

    async def send(self, data: bytes, what: str) -> None:
        """Sends bytes; ``what`` is what the record calls them."""
        self.log.append(f"> {printable(what)}")
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Closed(_why(error)) from error

    async def receive(self, within: float = ANSWER_SECONDS) -> Answer:
        """The next packet, kept ones first.

        Raises:
            Closed: The broker ended the connection.
            Silent: Nothing came within that many seconds.
            WireError: What came is no MQTT packet.
        """
        if self._kept:
            return self._kept.pop(0)
        return await self._read(within)

    async def _read(self, within: float) -> Answer:
        try:
            async with asyncio.timeout(within):
                while (found := wire.read_answer(self._buffer, self.version)) is None:
                    data = await self._reader.read(_CHUNK)
                    if not data:
                        self._end("closed by the broker")
                    self._buffer += data
        except TimeoutError as error:
            self.log.append(f"< nothing within {within:g} s")
            raise Silent from error
        except OSError as error:
            self._end(_why(error))
        answer, size = found
        self._buffer = self._buffer[size:]
        self.log.append(f"< {printable(str(answer))}")
        return answer

    def _end(self, how: str) -> NoReturn:
        self.log.append(f"! {printable(how)}")
        raise Closed(how)

    async def answer(self, *kinds: Kind, within: float = ANSWER_SECONDS) -> Answer:
        """The next packet of one of these kinds; messages that come first are kept."""
        messages: list[Answer] = []
        try:
            while True:
                found = self._kept.pop(0) if self._kept else await self._read(within)
                if found.kind in kinds:
                    return found
                if found.kind is Kind.DISCONNECT:
                    raise Closed(str(found))
                messages.append(found)
        finally:
            self._kept[:0] = messages

    async def messages(self, within: float) -> list[Answer]:
        """The messages that come within that many seconds, or before the connection ends."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        found: list[Answer] = []
        with contextlib.suppress(Closed, Silent):
            while (left := until - loop.time()) > 0:
                packet = await self.receive(left)
                if packet.kind is Kind.PUBLISH:
                    found.append(packet)
                    if packet.qos == 1:
                        await self.send(wire.acknowledge(packet.message_id), "PUBACK")
        return found

    async def subscribe(self, *filters: str | bytes, retained: bool = False) -> tuple[int, ...]:
        """SUBSCRIBE with QoS 1; the codes of the SUBACK.

        Without ``retained`` a 5.0 broker is asked for none of the messages it has kept.
        """
        self._next_id += 1
        make = wire.subscribe_with_retained if retained else wire.subscribe
        shown = ", ".join(each if isinstance(each, str) else repr(each)[1:] for each in filters)
        await self.send(make(self.version, self._next_id, filters), f"SUBSCRIBE {shown}")
        return (await self.answer(Kind.SUBACK)).codes

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Answer:
        """PUBLISH with QoS 1; the PUBACK."""
        self._next_id += 1
        packet = wire.publish(self.version, topic, payload, packet_id=self._next_id, retain=retain)
        what = f"PUBLISH {topic} QoS 1, {'retained, ' if retain else ''}{len(payload)} bytes"
        await self.send(packet, what)
        return await self.answer(Kind.PUBACK)

    async def leave(self) -> None:
        """DISCONNECT, so that nothing of this client stays behind."""
        with contextlib.suppress(Closed):
            if not self._writer.is_closing():
                await self.send(wire.DISCONNECT, "DISCONNECT")
        await self.close()

    async def close(self) -> None:
        """Ends the connection in order, without a DISCONNECT."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    def cut(self) -> None:
        """Ends the connection as a pulled plug does."""
        self._writer.transport.abort()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS: {reason}"
    return error.strerror or str(error) or type(error).__name__

"""An SMTP server that accepts mail, or fails at a command as a test demands.

It is a real server on a real socket: only that shows how a client handles a lost connection or an endless reply.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from stopit_lab.ports import HOST, spare_ports

__all__ = ["Act", "At", "Sink", "Taken"]

_FOREVER = 3600.0


class At(StrEnum):
    """The step of the dialog at which a fault occurs. DOT is the end of the message."""

    CONNECT = "connect"
    EHLO = "ehlo"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class Act(Enum):
    """A fault instead of a reply. With TAKE_AND_..., the message counts as accepted; else it does not."""

    DROP = "drop"
    HANG = "hang"
    DRIBBLE = "dribble"
    TAKE_AND_DROP = "take-and-drop"
    TAKE_AND_HANG = "take-and-hang"


@dataclass(frozen=True)
class Taken:
    """An accepted message."""

    mail_from: str
    recipients: tuple[str, ...]
    data: bytes


class Sink:
    """A server. `faults[At.RCPT].append("451 later")` (or an Act) makes the next RCPT fail, once.

    `on_taken` is called in the server's thread with each message before the reply, where a milter would see it.
    `login` is the accepted (login, password). `tls` is `implicit`, or by STARTTLS. With `pipelining`, it offers
    PIPELINING (RFC 2920) and CHUNKING (RFC 3030); the faults at DATA and DOT are then those before and after BDAT.
    """

    def __init__(
        self,
        *,
        on_taken: Callable[[Taken], None] = lambda _taken: None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        pipelining: bool = False,
    ) -> None:
        self.pipelining = pipelining
        self.faults: defaultdict[At, deque[str | Act]] = defaultdict(deque)
        self.taken: list[Taken] = []
        self.commands: list[str] = []
        self.on_taken = on_taken
        self.connected: set[object] = set()
        """The server's side of each open connection. Mail of a closed one is complete."""
        self._starttls = None if implicit else tls
        self._login = login
        (self.port,) = spare_ports(1)
        self._controller = _Controller(self, tls if implicit else None)

    def start(self) -> Self:
        """Listen at HOST on `port`."""
        self._controller.start()
        return self

    def stop(self) -> None:
        """Close every connection and the port. It may be started again."""
        self._controller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def protocol(self) -> SMTP:
        """Return the server's side of a new connection."""
        return _Protocol(self, self._starttls, self._login)

    def fault(self, at: At) -> str | Act | None:
        """Return the next fault at this step, if any, and remove it."""
        return self.faults[at].popleft() if self.faults[at] else None

    def take(self, taken: Taken) -> None:
        """Accept a message."""
        self.taken.append(taken)
        self.on_taken(taken)


class _Controller(Controller):
    def __init__(self, sink: Sink, tls: ssl.SSLContext | None) -> None:
        super().__init__(object(), hostname=HOST, port=sink.port, ssl_context=tls)
        self._sink = sink

    def factory(self) -> SMTP:
        return self._sink.protocol()


class _Protocol(SMTP):
    """The server of aiosmtpd, with a check for faults before each reply."""

    def __init__(self, sink: Sink, tls: ssl.SSLContext | None, login: tuple[str, str] | None) -> None:
        super().__init__(
            _Handler(sink),
            tls_context=tls,
            auth_require_tls=False,
            hostname="sink.invalid",
            authenticator=_expects(login) if login else None,
        )
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._sink.connected.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Unregister the connection."""
        super().connection_lost(error)
        self._sink.connected.discard(self)

    async def _handle_client(self) -> None:
        if self._tls_protocol is None and await self.went_wrong(At.CONNECT):
            self._line().close()
            return
        await super()._handle_client()

    async def went_wrong(self, at: At) -> bool:
        """Execute the next fault of this step. Returns False if there is none."""
        fault = self._sink.fault(at)
        if fault is None:
            return False
        if isinstance(fault, str):
            await self.push(fault)
            return True
        if fault in (Act.DROP, Act.TAKE_AND_DROP):
            self._line().abort()
        while fault is Act.DRIBBLE:
            await self.push("250-wait")
            await asyncio.sleep(0.02)
        await asyncio.sleep(_FOREVER)  # until the connection is closed, which ends this task
        return True

    def _line(self) -> asyncio.Transport:
        assert isinstance(self.transport, asyncio.Transport)
        return self.transport

    async def smtp_EHLO(self, hostname: str) -> None:
        self._sink.commands.append(f"EHLO {hostname}")
        if not await self.went_wrong(At.EHLO):
            await super().smtp_EHLO(hostname)

    async def smtp_RSET(self, arg: str) -> None:
        self._sink.commands.append("RSET")
        if not await self.went_wrong(At.RSET):
            await super().smtp_RSET(arg)

    async def smtp_MAIL(self, arg: str) -> None:
        self._sink.commands.append(f"MAIL {arg}")
        if not await self.went_wrong(At.MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:
        self._sink.commands.append(f"RCPT {arg}")
        if not await self.went_wrong(At.RCPT):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        self._sink.commands.append("DATA")
        if not await self.went_wrong(At.DATA):
            await super().smtp_DATA(arg)

    async def smtp_BDAT(self, arg: str) -> None:
        """Handle the whole message in one chunk: `BDAT n LAST`."""
        self._sink.commands.append(f"BDAT {arg}")
        content = await self._reader.readexactly(int(arg.split()[0]))
        if await self.went_wrong(At.DATA):
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 no recipient")
            return
        self.envelope.original_content = content
        status = await self.event_handler.handle_DATA(self, self.session, self.envelope)
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if status:
            await self.push(status)


class _Handler:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def handle_EHLO(
        self, _server: _Protocol, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Answer EHLO with the extensions of this server."""
        session.host_name = hostname
        *first, last = responses
        return [*first, *(["250-PIPELINING", "250-CHUNKING"] if self._sink.pipelining else []), last]

    async def handle_DATA(self, server: _Protocol, _session: Any, envelope: Any) -> str:
        """Handle the end of the message."""
        taken = Taken(envelope.mail_from, tuple(envelope.rcpt_tos), bytes(envelope.original_content))
        faults = self._sink.faults[At.DOT]
        if not faults or faults[0] in (Act.TAKE_AND_DROP, Act.TAKE_AND_HANG):
            self._sink.take(taken)
        if faults and isinstance(faults[0], str):
            return str(faults.popleft())
        await server.went_wrong(At.DOT)
        return "250 2.0.0 taken"


def _expects(login: tuple[str, str]) -> Callable[..., AuthResult]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        said = (given.login.decode(), given.password.decode())
        return AuthResult(success=said == login, handled=False)

    return check

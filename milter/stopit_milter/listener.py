"""The milter socket, which the parent opens and every worker serves, and the callbacks that libmilter calls.

libmilter has one socket and one set of callbacks for each process, so only this module calls its functions. The order
matters: the parent opens the socket while it has no thread and no connection; then it forks; each worker registers
the callbacks and serves.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import Milter

from stopit_milter.session import ACTIONS, Session

__all__ = ["Listener", "ListenerError"]

_CONTINUE: int = Milter.CONTINUE
_NAME = "stopit-milter"
_UMASK = 0o007
"""Lets owner and group use the socket. It inherits the MTA's group from its directory (mode 2750)."""


_at_end: set[Session] = set()
"""The sessions whose message is at its end."""
_END_SECONDS = 5.0
_CHECK_SECONDS = 0.05
_QUIET_CHECKS = 2


class ListenerError(Exception):
    """The socket cannot be opened. The text says what to do."""


class Listener:
    """The milter socket of one process. `spec` is `milter.socket`: "unix:/path" or "inet:port@host"."""

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._descriptor: int | None = None
        self._path = Path(spec.removeprefix("unix:")) if spec.startswith("unix:") else None

    def open(self) -> None:
        """Open the socket; a socket file that a former run left is replaced. Raises ListenerError."""
        if self._path and not os.access(self._path.parent, os.W_OK | os.X_OK):
            known = "cannot be written to" if self._path.parent.is_dir() else "is missing"
            advice = (
                f"make it for the user that stopit-milter runs as, with the MTA's group (uid here: {os.geteuid()})"
            )
            raise ListenerError(f"milter.socket = {self._spec}: directory {self._path.parent} {known}; {advice}")
        os.umask(_UMASK)
        before = _listening()
        try:
            Milter.setconn(self._libmilter_spec())
            Milter.register(_NAME)
            Milter.opensocket(True)
        except Milter.error as error:
            advice = "is another process there? The system log has libmilter's reason"
            raise ListenerError(f"milter.socket = {self._spec}: cannot be opened ({error}); {advice}") from error
        (self._descriptor,) = _listening() - before
        # A new connection wakes every worker and one gets it; the others must not block in accept().
        os.set_blocking(self._descriptor, False)

    def serve(self, make: Callable[[], Session]) -> None:
        """Serve connections until SIGTERM. `make` makes a session for each.

        libmilter looks for SIGTERM every 5 seconds, at each new connection, and when a signal interrupts this thread.
        It then waits for no message; this waits for those whose end was reached, up to 5 seconds.
        """
        Milter.set_flags(ACTIONS)
        # pymilter raises before our code runs when a name or host is no UTF-8, in a step without an answer. The
        # message is still complete without it, and any other answer than CONTINUE would confuse libmilter.
        Milter.set_exception_policy(Milter.CONTINUE)
        _set_callbacks()

        def negotiate(mta: Milter.milterContext, options: list[int]) -> int:
            session = make()
            mta.setpriv(session)
            return session.negotiate(options)

        Milter.register(_NAME, negotiate=negotiate)
        Milter.main()
        _wait_for_ends()

    def stop_accepting(self) -> None:
        """Accept no more connections in this process, and continue to serve the open ones.

        libmilter itself can only stop everything, in the middle of messages. So its descriptor is replaced by a
        socket without a name, to which nobody can connect. The other processes keep the milter socket open.
        """
        if self._descriptor is None:
            return
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as unreachable:
            unreachable.bind(f"{directory}/unreachable")
            unreachable.listen()
            unreachable.setblocking(False)
            os.dup2(unreachable.fileno(), self._descriptor, inheritable=False)

    @property
    def connections(self) -> int:
        """Return the number of open connections in this process: contexts that pymilter made, less those it freed."""
        made, freed, *_ = Milter.getdiag()
        return int(made - freed)

    @property
    def intact(self) -> bool:
        """Return whether the socket file still exists, so that the MTA can connect."""
        return self._path is None or self._path.is_socket()

    def remove(self) -> None:
        """Remove the socket file."""
        if self._path:
            with suppress(OSError):
                self._path.unlink()

    def _libmilter_spec(self) -> str:
        port, _, host = self._spec.removeprefix("inet:").rpartition("@")
        return f"inet6:{port}@{host.strip('[]')}" if self._path is None and ":" in host else self._spec


def _listening() -> set[int]:
    """Return the listening descriptors of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  numbers, not paths
        with suppress(OSError):
            end = socket.socket(fileno=os.dup(int(name)))
            with end:
                if end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
    return found


def _set_callbacks() -> None:
    """Pass each step to the session of its connection; without a session, continue.

    This uses the functions of pymilter's C module: the layers of `Milter.Base` cost more than a step does here
    (docs/adr/0006). Abort and close need no callback: a message starts over at MAIL, and pymilter frees the session.
    """
    Milter.set_connect_callback(_connect)
    Milter.set_envfrom_callback(_envfrom)
    Milter.set_envrcpt_callback(_envrcpt)
    Milter.set_header_callback(_header)
    Milter.set_eoh_callback(_eoh)
    Milter.set_body_callback(_body)
    Milter.set_eom_callback(_eom)


def _connect(mta: Milter.milterContext, _hostname: str, family: int, address: tuple[str, ...] | str | None) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.connect(family, address)


def _envfrom(mta: Milter.milterContext, path: bytes, *_parameters: bytes) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.envfrom(mta, path)


def _envrcpt(mta: Milter.milterContext, path: bytes, *_parameters: bytes) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.envrcpt(path)


def _header(mta: Milter.milterContext, name: str, value: bytes) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.header(name, value)


def _eoh(mta: Milter.milterContext) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.eoh(mta)


def _body(mta: Milter.milterContext, block: bytes) -> int:
    session: Session | None = mta.getpriv()
    return _CONTINUE if session is None else session.body(mta, block)


def _eom(mta: Milter.milterContext) -> int:
    session: Session | None = mta.getpriv()
    if session is None:
        return _CONTINUE
    _at_end.add(session)
    try:
        return session.eom(mta)
    finally:
        _at_end.discard(session)


def _wait_for_ends() -> None:
    """Wait until the MTA has the answers to messages whose end was reached.

    A message that is cut off there may be half-edited, and with `default_action=accept` the MTA delivers it so.
    """
    until = time.monotonic() + _END_SECONDS
    quiet = 0
    while quiet < _QUIET_CHECKS and time.monotonic() < until:  # libmilter sends an answer after the callback
        time.sleep(_CHECK_SECONDS)
        quiet = 0 if _at_end else quiet + 1

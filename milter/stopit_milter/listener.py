"""The milter socket: opened once by the parent, served by every worker; and libmilter's side of the callbacks.

libmilter keeps the socket, the callbacks and everything else in one place for each process, so this is the only
module that calls its functions. The order is the one that was found to work: the parent opens the socket, with no
thread and no connection there; then it forks; each worker registers and serves.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import Milter

from stopit_milter.session import ACTIONS, Session

__all__ = ["Listener", "ListenerError"]

_CONTINUE: int = Milter.CONTINUE
_NAME = "stopit-milter"
_UMASK = 0o007
"""The socket is for its owner and its group, which it inherits from its directory: the MTA's (mode 2750)."""


class ListenerError(Exception):
    """The socket cannot be opened; says what to do."""


class Listener:
    """`spec` is `milter.socket`: "unix:/path" or "inet:port@host"."""

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._descriptor: int | None = None
        self._path = Path(spec.removeprefix("unix:")) if spec.startswith("unix:") else None

    def open(self) -> None:
        """Open the socket, in place of one that a former run left. Raises ListenerError."""
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
        # Of all the workers that a connection wakes one gets it: the others must not wait for the next.
        os.set_blocking(self._descriptor, False)

    def serve(self, make: Callable[[], Session]) -> None:
        """Serve connections, a session of its own for each, until SIGTERM. Returns within 5 seconds of that."""
        Milter.set_flags(ACTIONS)
        # What is raised before our code runs is a name or host that is no UTF-8, in a step that goes unanswered:
        # without it the message is still whole, and any other answer than CONTINUE would put libmilter out of step.
        Milter.set_exception_policy(Milter.CONTINUE)
        _set_callbacks()

        def negotiate(mta: Milter.milterContext, options: list[int]) -> int:
            session = make()
            mta.setpriv(session)
            return session.negotiate(options)

        Milter.register(_NAME, negotiate=negotiate)
        Milter.main()

    def stop_accepting(self) -> None:
        """Take no more connections in this process, and go on serving those that there are.

        libmilter can only stop altogether, and breaks off what is under way. So its socket is put away under it: in
        its place stands one that nobody can connect to, because its name is gone. The MTA's is open in the others.
        """
        if self._descriptor is None:
            return
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(f"{directory}/deaf")
            deaf.listen()
            deaf.setblocking(False)
            os.dup2(deaf.fileno(), self._descriptor, inheritable=False)

    @property
    def connections(self) -> int:
        """How many connections pymilter holds in this process: contexts made, less contexts let go of."""
        made, freed, *_ = Milter.getdiag()
        return int(made - freed)

    @property
    def intact(self) -> bool:
        """Whether the MTA can still find the socket."""
        return self._path is None or self._path.is_socket()

    def remove(self) -> None:
        """Take the socket's file away."""
        if self._path:
            with suppress(OSError):
                self._path.unlink()

    def _libmilter_spec(self) -> str:
        port, _, host = self._spec.removeprefix("inet:").rpartition("@")
        return f"inet6:{port}@{host.strip('[]')}" if self._path is None and ":" in host else self._spec


def _listening() -> set[int]:
    """The descriptors of this process that connections are accepted on."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  numbers, not paths
        with suppress(OSError):
            end = socket.socket(fileno=os.dup(int(name)))
            with end:
                if end.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
    return found


def _set_callbacks() -> None:
    """Hand each step to the session of its connection; where there is none, go on.

    By the functions of pymilter's C module, and not by its `Milter.Base`, whose layers cost more than a step does
    here (docs/adr/0006). An abort and the end of a connection need no callback: a message begins anew at MAIL, and
    pymilter lets go of the session.
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
    return _CONTINUE if session is None else session.eom(mta)

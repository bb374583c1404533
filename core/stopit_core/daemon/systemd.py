"""The interface to the service manager (readiness, watchdog, reload; sd_notify(3)) and the reload of settings.

`Live` holds the value in force. A reload first creates a complete new value and swaps it in only if it has no fault,
so half of a configuration is never in force.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from stopit_core.config import Settings, restart_keys
from stopit_core.daemon.logs import Log
from stopit_core.errors import ConfigError

__all__ = ["Live", "Notify", "log_warnings", "reload_settings"]

T = TypeVar("T")

_SEND_TIMEOUT = 1.0


class Notify:
    """Reports the state of the service to the service manager. Does nothing if $NOTIFY_SOCKET is not set."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        pid = environ.get("WATCHDOG_PID")
        mine = pid is None or pid == str(os.getpid())
        self.watchdog = int(environ.get("WATCHDOG_USEC", 0)) / 1e6 if mine else 0.0
        """Seconds within which `alive` must be called repeatedly; 0 without a watchdog."""

    def ready(self, status: str) -> None:
        """Report that the service does its work from now on."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Report the current activity of the service, for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Report that the service is not stuck. Does nothing without a watchdog."""
        if self.watchdog:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that the service reads its configuration again; `ready` reports the end of that."""
        self._send("RELOADING=1")

    def stopping(self) -> None:
        """Report that the service stops."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_SEND_TIMEOUT)  # a service manager that does not read must not delay the mail
            try:
                channel.sendto(text.encode(), socket.MSG_DONTWAIT, self._address)
            except OSError:  # the service manager is gone or does not read; mail is not affected
                return


class Live(Generic[T]):
    """The value in force. Read `current` once for each piece of work, so that the work uses one value throughout."""

    def __init__(self, value: T) -> None:
        self.current = value

    def swap(self, value: T) -> None:
        """Put a new value in force."""
        self.current = value


def reload_settings(old: Settings, read: Callable[[], Settings], log: Log, *, warn: bool = True) -> Settings | None:
    """Return new settings for a running daemon, or None if the file has faults (each is logged).

    Keys that cannot change in a running process keep their old value. The log names them, and has the warnings about
    the file, unless `warn` is False.
    """
    try:
        new = read()
    except ConfigError as error:
        for fault in error.faults:
            log.error("reload refused, the old configuration stays in force", fault=str(fault))
        return None
    if warn:
        log_warnings(new, log)
    held = {}
    for name, keys in restart_keys().items():
        before, after = getattr(old, name), getattr(new, name)
        changed = [key for key in keys if getattr(before, key) != getattr(after, key)]
        if changed:
            if warn:
                log.warning("needs a restart to take effect", keys=", ".join(f"{name}.{key}" for key in changed))
            held[name] = after.model_copy(update={key: getattr(before, key) for key in changed})
    return new.model_copy(update=held) if held else new


def log_warnings(settings: Settings, log: Log) -> None:
    """Log the warnings about the file that the settings were read from."""
    for warning in settings.warnings:
        log.warning("configuration", fault=str(warning))

"""Read secrets: the site's key and passwords, each in its own file in /etc/stopit that only root may read.

The service manager reads such a file as root and passes it to the daemon as a credential of the same name
(LoadCredential= of the units; systemd.exec(5)). So the daemon's user cannot open the file, and each daemon gets only
the secrets that it needs. Without a credential the file itself is read: by stopitctl, in a test, or under another
service manager. A file in another directory is never read from the credentials, because two files of the same name
would be confused.

The credentials of a process are those of its start: a new password or key needs a restart, a reload is not enough. An
empty credential means that the file did not exist at the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from stopit_core.errors import ConfigError, Fault

__all__ = ["CREDENTIALS", "DIRECTORY", "ReadSecret", "read_password", "read_secret", "with_password"]

ReadSecret = Callable[[Path], str]
"""Reads a secret's file and returns its text. Raises OSError, UnicodeDecodeError."""

DIRECTORY = Path("/etc/stopit")
"""The directory of the secrets that the service manager passes on."""

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "stopit-milter": ("site.key", "queue.password", "ledger.password"),
    "stopit-notifier": ("site.key", "queue.password", "ledger.password", "cases.password", "smtp.password"),
}
"""The credentials that each unit passes to its daemon. The milter gets none that opens the case record."""


def read_secret(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the text of a secret, without white space around it. Raises OSError, UnicodeDecodeError."""
    given = environ.get("CREDENTIALS_DIRECTORY", "")
    if given and path.parent == DIRECTORY:
        with suppress(FileNotFoundError):
            if handed := (Path(given) / path.name).read_text("utf-8").strip():
                return handed
    return path.read_text("utf-8").strip()


def read_password(key: str, path: Path, read: ReadSecret = read_secret) -> str:
    """Return the password in the file that this configuration key names. Raises ConfigError."""
    try:
        password = read(path)
    except FileNotFoundError:
        advice = "there is no such file; write the password into one, mode 0600"
        raise ConfigError([Fault(str(path), key, "", advice)]) from None
    except OSError as error:
        advice = f"cannot be read: {error.strerror or error}"
        if path.parent == DIRECTORY and isinstance(error, PermissionError):
            advice += "; if the file is newer than the service, restart the service"
        raise ConfigError([Fault(str(path), key, "", advice)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(str(path), key, "", "cannot be read: it is not text")]) from error
    if not password:
        raise ConfigError([Fault(str(path), key, "", "is empty; write the password into it")])
    return password


def with_password(url: str, password: str) -> str:
    """Return a URL that has no password with this one inserted (RFC 3986 section 3.2.1)."""
    scheme, separator, rest = url.partition("://")
    authority = rest.partition("/")[0]
    user, _, host = authority.rpartition("@")
    return f"{scheme}{separator}{user}:{quote(password, safe='')}@{host}{rest[len(authority) :]}"

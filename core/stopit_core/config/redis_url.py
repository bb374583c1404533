"""Parse the URL of a Redis service that Sentinels monitor. Pure.

    redis+sentinel://[user:password@]host[:port],host[:port].../SERVICE[/DATABASE][?option=value]

This form is common in Python programs (Redis-Sentinel-Url, Prefect); redis-py itself has none. The user and the
password are for the Redis servers; those of the Sentinels are options, because Sentinels have their own users.
`rediss+sentinel` uses TLS to both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

__all__ = ["SentinelUrl", "is_sentinel_url"]

_SCHEME = re.compile(r"(rediss?)\+sentinel://", re.IGNORECASE)
_PORT = 26379
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("sentinel_username", "sentinel_password", *_TLS_OPTIONS)
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_FORM = "redis+sentinel://host:26379,host:26379,host:26379/SERVICE"


def is_sentinel_url(url: str) -> bool:
    """Return whether the URL names Sentinels."""
    return _SCHEME.match(url) is not None


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The parts of a Sentinel URL. `sentinels` are (host, port); `login` and `sentinel_login` are (user, password),
    "" if not given.

    `tls` is None without TLS, else the given `ssl_...` arguments of redis-py.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    login: tuple[str, str]
    sentinel_login: tuple[str, str]
    tls: dict[str, str] | None

    @classmethod
    def parse(cls, url: str) -> SentinelUrl:
        """Parse a URL. Raises ValueError with the correct form; its text never shows a password."""
        scheme = _SCHEME.match(url)
        if scheme is None:
            raise ValueError(f'must be "{_FORM}"')
        rest, _, query = url[scheme.end() :].partition("?")
        places, _, path = rest.partition("/")
        login, _, hosts = places.rpartition("@")
        service, _, database = path.partition("/")
        if "@" in path:
            raise ValueError("must write / and @ in the password as %2F and %40")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
            raise ValueError(f'must name the service that the Sentinels watch, as in "{_FORM}"')
        if database and not re.fullmatch(r"\d{1,4}", database):
            raise ValueError("must have a database number after the service, or nothing")
        options = _options(query)
        secure = scheme[1].lower() == "rediss"
        given_tls = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
        if given_tls and not secure:
            raise ValueError(f'must begin with "rediss+sentinel://" to use {", ".join(given_tls)}')
        return cls(
            tuple(map(_place, hosts.split(","))),
            service,
            int(database or 0),
            _login(login),
            (options.get("sentinel_username", ""), options.get("sentinel_password", "")),
            given_tls if secure else None,
        )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise ValueError(f"has an unknown option, {unknown[0]}; the options are {', '.join(_OPTIONS)}")
    return options


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(_PORT)
    if not _HOST.fullmatch(host) or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f'must have a host and a port for each Sentinel, as in "{_FORM}"')
    return host.strip("[]"), int(port)


def _login(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return unquote(user), unquote(password)

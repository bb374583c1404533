"""The types of configuration values. Each error message says what a correct value looks like."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, WrapSerializer

from stopit_core.addresses import is_address
from stopit_core.config.redis_url import SentinelUrl, is_sentinel_url

__all__ = [
    "AbsolutePath",
    "Address",
    "CasesUrl",
    "Domain",
    "Duration",
    "HeaderName",
    "HostPort",
    "MilterSocket",
    "Network",
    "StoreUrl",
    "format_duration",
    "has_password",
    "parse_duration",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]+(\.[a-z0-9-]+)+")


def parse_duration(value: object) -> float:
    """Return the seconds of "30s", "15m", "12h" or "14d". Raises ValueError with the correct form."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('must be a number and a unit in quotes, such as "30s", "15m", "12h" or "14d"')
    return float(match[1]) * _UNITS[match[2]]


def has_password(url: str) -> bool:
    """Return whether a store's URL contains a password."""
    try:
        parts = urlsplit(url)
        return bool(parts.password or parse_qs(parts.query).get("password"))
    except ValueError:
        return False


def format_duration(seconds: float) -> str:
    """Return seconds in the file's notation, in the largest unit that gives a whole number."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s"


def _address(value: str) -> str:
    folded = value.strip().casefold()
    if not is_address(folded) or not _DOMAIN.fullmatch(folded.rpartition("@")[2]):
        raise ValueError("must be one mail address, such as stopit@example.edu")
    return folded


def _domain(value: str) -> str:
    folded = value.strip().rstrip(".").casefold()
    if not _DOMAIN.fullmatch(folded):
        raise ValueError("must be a mail domain in its ASCII form, such as example.edu")
    return folded


def _header_name(value: str) -> str:
    if not re.fullmatch(r"X-[A-Za-z0-9-]{1,60}", value):
        raise ValueError("must be a header name that begins with X-, such as X-Stopit")
    return value


def _socket(value: str) -> str:
    if re.fullmatch(r"unix:/\S+", value) or _host_port(value.removeprefix("inet:"), "@"):
        return value
    raise ValueError('must be "unix:/path/of/socket" or "inet:port@host"')


def _metrics(value: str) -> str:
    if not _host_port(value, ":"):
        raise ValueError('must be "address:port", such as "127.0.0.1:9464"')
    return value


def _host_port(value: str, separator: str) -> bool:
    left, _, right = value.rpartition(separator)
    host, port = (right, left) if separator == "@" else (left.strip("[]"), right)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
            return False
    return port.isdigit() and 0 < int(port) < 65536


def _store_url(value: str) -> str:
    if is_sentinel_url(value):
        SentinelUrl.parse(value)
        return value
    if re.fullmatch(r"sqlite:////\S+", value) or re.match(r"(redis|rediss|unix)://\S", value):
        return value
    raise ValueError(
        'must be "sqlite:////absolute/path", "redis://host:6379/0", "unix:///path/of/redis.sock" or '
        '"redis+sentinel://host:26379,host:26379,host:26379/SERVICE"'
    )


def _cases_url(value: str) -> str:
    if re.fullmatch(r"sqlite:////\S+", value) or re.match(r"postgresql\+psycopg://\S", value):
        return value
    raise ValueError('must be "sqlite:////absolute/path" or "postgresql+psycopg://user@host/database"')


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError('must be an IP address or network, such as "192.0.2.7" or "2001:db8::/32"') from None


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("must be an absolute path, such as /etc/stopit/site.key")
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WrapSerializer(lambda value, _: format_duration(value), when_used="json"),
]
Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
MilterSocket = Annotated[str, AfterValidator(_socket)]
HostPort = Annotated[str, AfterValidator(_metrics)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
CasesUrl = Annotated[str, AfterValidator(_cases_url)]
Network = Annotated[str, AfterValidator(_network)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]

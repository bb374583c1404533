"""Queue and ledger on a Redis server with TLS: only a server with a valid certificate is used."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

import servers
from stopit_core.config import LedgerStore, QueueStore
from stopit_core.errors import Transient
from stopit_core.model import Digest, Trace
from stopit_core.open_stores import open_ledger, open_queue
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.redis import Redis
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration


class Certificate:
    """A self-signed certificate for an address or a name, which is its own authority."""

    def __init__(self, directory: Path, name: str) -> None:
        self.certificate, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        of = f"IP:{name}" if name[0].isdigit() else f"DNS:{name}"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                f"/CN={name}",
                "-addext",
                f"subjectAltName={of}",
                "-keyout",
                str(self.key),
                "-out",
                str(self.certificate),
            ],
            check=True,
            capture_output=True,
        )

    def settings(self, port: int, clients: str = "no") -> dict[str, str]:
        """The lines for redis.conf or sentinel.conf. `clients`: whether client certificates are required."""
        return {
            "tls-port": str(port),
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.certificate),
            "tls-auth-clients": clients,
            "tls-replication": "yes",
        }


class Secure:
    """Servers that accept only TLS over TCP, and the parts of a URL for them."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self.right = Certificate(directory, HOST)

    def server(self, certificate: Certificate, clients: str = "no") -> int:
        """Start a Redis server; return its port."""
        (port,) = spare_ports(1)
        self._stack.enter_context(Redis(settings=certificate.settings(port, clients)))
        return port

    def sentinel(self, master: int) -> int:
        """Start a Sentinel for the server at this port; return its own port."""
        (port,) = spare_ports(1)
        lines = [f"{name} {value}" for name, value in self.right.settings(port).items()]
        lines += ["port 0", f"bind {HOST}", f"dir {self.directory}", f"sentinel monitor stopit {HOST} {master} 1"]
        file = self.directory / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        process = subprocess.Popen(["redis-sentinel", str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return port

    def trusting(self, certificate: Certificate, **options: str) -> str:
        """Return the query of a URL."""
        return "?" + urlencode({"ssl_ca_certs": certificate.certificate, **options})


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    servers.require("redis-server")
    with ExitStack() as stack:
        yield Secure(tmp_path, stack)


def works(url: str) -> bool:
    """Return whether a report and a trace can be stored and read back. False on Transient."""
    trace = Trace(message=Digest(b"m" * 16), seen=time.time())
    with closing(open_queue(QueueStore(url=url))) as queue, closing(open_ledger(LedgerStore(url=url))) as ledger:
        try:
            queue.put("a", b"report")
            ledger.write([trace])
            assert ledger.find(trace.message) == [trace]
            (report,) = queue.claim("one", 1, 60.0)
            queue.ack(report.id)
        except Transient:
            return False
    return report.payload == b"report"


def test_where_the_certificate_holds(secure: Secure) -> None:
    port = secure.server(secure.right)
    assert works(f"rediss://{HOST}:{port}/0{secure.trusting(secure.right)}")


def test_not_without_tls(secure: Secure) -> None:
    assert not works(f"redis://{HOST}:{secure.server(secure.right)}/0")


def test_not_where_nobody_we_trust_signed_it(secure: Secure) -> None:
    port = secure.server(secure.right)
    assert not works(f"rediss://{HOST}:{port}/0")
    assert not works(f"rediss://{HOST}:{port}/0{secure.trusting(Certificate(secure.directory, '127.0.0.2'))}")


def test_not_where_it_is_another_ones(secure: Secure) -> None:
    other = Certificate(secure.directory, "redis.example")
    assert not works(f"rediss://{HOST}:{secure.server(other)}/0{secure.trusting(other)}")


def test_where_we_must_show_one_too(secure: Secure) -> None:
    port = secure.server(secure.right, clients="yes")
    assert not works(f"rediss://{HOST}:{port}/0{secure.trusting(secure.right)}")
    ours = {"ssl_certfile": str(secure.right.certificate), "ssl_keyfile": str(secure.right.key)}
    assert works(f"rediss://{HOST}:{port}/0{secure.trusting(secure.right, **ours)}")


def test_with_a_sentinel_both_are_asked_for_theirs(secure: Secure) -> None:
    sentinel = secure.sentinel(secure.server(secure.right))
    url = f"rediss+sentinel://{HOST}:{sentinel}/stopit"
    until(lambda: works(url + secure.trusting(secure.right)), "a Sentinel that knows the master")
    assert not works(url)
    assert not works(f"redis+sentinel://{HOST}:{sentinel}/stopit")

"""The probe of the rights on a real Redis server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from click.testing import Result
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, start_http_server

from stopit_core.model import Digest, Trace
from stopit_core.open_stores import open_ledger, open_queue
from stopit_core.stores.redis_rights import MILTER, NOTIFIER
from stopit_ctl.doctor.redis import probe_redis
from stopit_ctl.probe_results import ProbeResult, Status
from stopit_lab.ports import spare_ports
from stopit_lab.redis import Redis

CONFIG = Path(__file__).parents[4] / "config"


@pytest.fixture(scope="module")
def server(redis_process: Redis) -> Iterator[Redis]:
    """A Redis that also listens on TCP. It needs `redis_process`, which handles a missing redis-server."""
    (port,) = spare_ports(1)
    with Redis(port=port) as running:
        yield running


@pytest.fixture
def admin(server: Redis) -> Iterator[redis.Redis]:
    """The administrator, at the Unix socket; each test begins with only the default user."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
        for name in client.acl_users():
            if name != b"default" and name != "default":
                client.acl_deluser(name)
        yield client


def look(host, url: str) -> list[ProbeResult]:
    return list(probe_redis(host.configure(queue={"url": url}, ledger={"url": url})))


def checked(host, url: str) -> tuple[Result, str]:
    """Run `stopitctl check` with queue and ledger on this server, and return its output without line breaks."""
    host.configure(queue={"url": url}, ledger={"url": url})
    done = host.run("check")
    return done, " ".join(done.output.split())


def faults(found: list[ProbeResult]) -> list[str]:
    return [str(result) for result in found if result.status is Status.FAULT]


def role(admin: redis.Redis, name: str, commands: tuple[str, ...], *more: str) -> None:
    """Create a user that may run only these commands, on Stopit's keys."""
    allowed = {"+eval", "+acl|whoami"}
    for command in commands:
        words = command.lower().split()
        allowed.add(f"+{words[0]}|{words[1]}" if words[0] in ("config", "xgroup", "script") else f"+{words[0]}")
    admin.execute_command("ACL", "SETUSER", name, "on", ">secret", "resetkeys", "~stopit:*", "-@all", *allowed, *more)


def url_of(server: Redis, name: str) -> str:
    return server.tcp_url.replace("://", f"://{name}:secret@")


def test_sqlite_has_no_users(host) -> None:
    assert list(probe_redis(host.settings)) == []


def test_a_default_user_that_anybody_reaches_by_tcp_is_a_fault(host, server: Redis, admin: redis.Redis) -> None:
    (fault,) = faults(look(host, server.tcp_url))
    assert "can read the queue without a password" in fault


def test_a_unix_socket_of_a_group_is_enough(host, server: Redis, admin: redis.Redis) -> None:
    found = look(host, server.url)
    assert faults(found) == []
    assert 'redis: user "default" has the rights of both daemons' in str(found[0])


@pytest.mark.parametrize(
    ("name", "commands"),
    [("stopit-milter", MILTER), ("stopit-notifier", NOTIFIER), ("both daemons", (*MILTER, *NOTIFIER))],
)
def test_a_role_with_what_it_needs_and_no_more(
    host, server: Redis, admin: redis.Redis, name: str, commands: tuple[str, ...]
) -> None:
    role(admin, "role", commands)
    admin.execute_command("ACL", "SETUSER", "default", "off")
    try:
        found = look(host, url_of(server, "role"))
    finally:
        with redis.Redis.from_url(url_of(server, "role")):
            admin.execute_command("ACL", "SETUSER", "default", "on")
    assert [str(result) for result in found] == [f'redis: user "role" has the rights of {name}']


@pytest.mark.parametrize(
    ("user", "name"),
    [("stopit", "both daemons"), ("stopit-milter", "stopit-milter"), ("stopit-notifier", "stopit-notifier")],
)
def test_the_users_that_ship_may_do_what_they_need_and_no_more(host, tmp_path: Path, user: str, name: str) -> None:
    """Use the shipped file with other passwords, and no other users."""
    users = tmp_path / "users.acl"
    shipped = (CONFIG / "redis" / "users.acl").read_text("utf-8")
    # The lab connects to the server as "default".
    users.write_text(shipped.replace("CHANGE-ME", "secret").replace("user default off\n", ""), "utf-8")
    assert shipped.startswith("user default off\n")
    with (
        Redis(port=spare_ports(1)[0], settings={"aclfile": str(users)}) as server,
        redis.Redis.from_url(server.url) as hand,
    ):
        hand.execute_command("ACL", "SETUSER", "default", "off")
        found = look(host, url_of(server, user))
        hand.execute_command("ACL", "SETUSER", "default", "on")
    assert [str(result) for result in found] == [f'redis: user "{user}" has the rights of {name}']


def test_a_milter_s_own_user_is_not_asked_for_what_it_may_not(host, server: Redis, admin: redis.Redis) -> None:
    role(admin, "stopit-milter", MILTER)
    done, said = checked(host, url_of(server, "stopit-milter"))
    assert done.exit_code == 0
    assert "queue: answers, and accepts writes" in said
    assert "this user may only add reports" in said


def test_a_milter_s_user_is_not_enough_where_a_notifier_runs(host, server: Redis, admin: redis.Redis) -> None:
    role(admin, "stopit-milter", MILTER)
    (port,) = spare_ports(1)
    url = url_of(server, "stopit-milter")
    host.configure(
        queue={"url": url},
        ledger={"url": url},
        notifier={"metrics": f"127.0.0.1:{port}"},
        milter={"socket": f"unix:{host.directory}/milter.sock"},
    )
    fault = "queue: a notifier runs here and may not read reports"
    assert fault not in " ".join(host.run("doctor").output.split())
    shown, thread = start_http_server(port, "127.0.0.1", CollectorRegistry())
    try:
        assert fault in " ".join(host.run("doctor").output.split())
    finally:
        shown.shutdown()
        thread.join()


def test_a_notifier_s_user_that_may_not_ask_how_durable_its_queue_is(host, server: Redis, admin: redis.Redis) -> None:
    role(admin, "blind", tuple(command for command in (*MILTER, *NOTIFIER) if not command.startswith("CONFIG")))
    done, said = checked(host, url_of(server, "blind"))
    assert done.exit_code == 1
    assert "queue: the durability of its server is not known" in said
    assert "+config|get" in said


def test_a_role_that_lacks_something_or_may_do_more(host, server: Redis, admin: redis.Redis) -> None:
    role(admin, "poor", tuple(command for command in NOTIFIER if not command.startswith("XACK")))
    role(admin, "rich", (*MILTER, *NOTIFIER), "+flushall", "allkeys", "+del")
    assert any("stopit-notifier lacks XACK" in fault for fault in faults(look(host, url_of(server, "poor"))))
    rich = faults(look(host, url_of(server, "rich")))
    assert any("has more rights than it needs: FLUSHALL, DEL" in fault for fault in rich)


def test_a_user_that_cannot_be_asked(host, server: Redis, admin: redis.Redis) -> None:
    admin.execute_command("ACL", "SETUSER", "mute", "on", ">secret", "~stopit:*", "+xlen")
    assert look(host, url_of(server, "mute"))[0].status is Status.UNTRIED


def test_the_lists_of_what_a_daemon_needs_are_whole(host, server: Redis, admin: redis.Redis) -> None:
    """Each daemon works as a user with only its rights."""
    role(admin, "milter", MILTER)
    role(admin, "notifier", NOTIFIER)
    by = {
        name: host.configure(queue={"url": url_of(server, name)}, ledger={"url": url_of(server, name)})
        for name in ("milter", "notifier")
    }
    trace = Trace(Digest(b"m" * 16), time.time(), "Q1")
    with closing(open_queue(by["milter"].queue)) as queue, closing(open_ledger(by["milter"].ledger)) as ledger:
        queue.ping()
        for number in range(3):
            queue.put(f"r{number}", b"report")
        ledger.ping()
        ledger.write([trace, replace(trace, queue_id="Q2")])
        assert ledger.watched(time.time()) == frozenset()
        ledger.expire(time.time())
    with closing(open_queue(by["notifier"].queue)) as queue, closing(open_ledger(by["notifier"].ledger)) as ledger:
        first, second, third = queue.claim("n", 3, 60.0)
        queue.ack(first.id)
        queue.bury(second.id, "unreadable")
        (dead,) = queue.dead(10)
        assert queue.retry(dead.id)
        assert queue.depths().waiting == 1
        queue.ack_all([third.id])
        assert len(ledger.find(trace.message)) == 2
        ledger.watch(Digest(b"p" * 8), time.time() + 60)

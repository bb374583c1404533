"""Real servers for the tests; servers.py has the rule for those that are not installed.

Most tests with a mail server share one site for each kind of store and settings, with their own cast.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import servers
from stopit_lab.people import Cast
from stopit_lab.postgresql import PostgreSql
from stopit_lab.redis import Redis
from stopit_lab.sentinel import RedisService
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

_LOG_LINES = 200

# No test is timed: machines are shared, and an example may have to wait for a core.
hypothesis.settings.register_profile("stopit", deadline=None)
hypothesis.settings.load_profile("stopit")


@pytest.fixture
def as_root() -> None:
    """The rights of root, for tests that act as other users."""
    servers.require(root=True)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Redis]:
    """One redis-server for the whole run."""
    servers.require("redis-server")
    with Redis() as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A running, empty redis-server. The test before may have stopped or filled it."""
    redis_process.start()
    redis_process.wipe()
    return redis_process


@pytest.fixture
def redis_service() -> Iterator[RedisService]:
    """Three redis-servers and three Sentinels of a test's own, which may make them fail over."""
    servers.require("redis-server", "redis-sentinel")
    with RedisService() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[PostgreSql]:
    """One PostgreSQL cluster for the whole run."""
    if not PostgreSql.installed():
        servers.missing("PostgreSQL")
    with PostgreSql() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def cases_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty case record, on each of the two kinds of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cases.db"
        return
    server: PostgreSql = request.getfixturevalue("postgresql_process")
    url = server.new_database()
    yield url
    server.start()  # a test may have stopped it
    server.empty(url)


@pytest.fixture(scope="session")
def mail_servers() -> None:
    """The servers of a site, and root to start them."""
    servers.require("postfix", "redis-server", "redis-sentinel", "dovecot", root=True)


@pytest.fixture(scope="session")
def shared_sites(mail_servers: None) -> Iterator[Callable[..., Site]]:
    """A function that returns the site of given stores and settings. A site runs until all tests are done."""
    sites: dict[str, Site] = {}
    with ExitStack() as stack:

        def shared(stores: Stores, values: Any = None) -> Site:
            key = f"{stores} {values or {}}"
            if key not in sites:
                sites[key] = stack.enter_context(Site(stores, values))
            return sites[key]

        yield shared


@pytest.fixture(scope="session")
def casts() -> Iterator[Cast]:
    """An unlimited number of casts."""
    return (Cast(number) for number in itertools.count(1))


@pytest.fixture
def nothing_more_is_sent(casts: Iterator[Cast]) -> Callable[[Site], None]:
    """Return when every message that was due before has been sent and delivered.

    It plays another story, whose notice is decided later and has the same delay. When that notice arrives, all that
    were decided before have arrived, too.
    """

    def wait(site: Site) -> None:
        later = Story(site, next(casts))
        later.flag(later.write())
        later.notice()
        later.acknowledgement()
        site.postfix.wait_until_queue_is_empty()

    return wait


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the logs of every site that the test used to the report of a failure."""
    report = yield
    if report.failed:
        funcargs: dict[str, Any] = getattr(item, "funcargs", {})
        sites = {id(site): site for site in [*funcargs.values(), *getattr(item, "own_sites", [])]}
        for site in sites.values():
            if isinstance(site, Site):
                tail = "\n".join(site.logs().splitlines()[-_LOG_LINES:])
                report.sections.append((f"logs of the {site.stores.value} site", tail))
    return report


_LONGEST = ("test_several_hosts.py", "test_redis_service.py", "test_backup.py", "test_dashboards.py", "test_setup.py")
"""Files with tests of ten seconds and more. None of them uses the shared sites."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: a worker that ends with one keeps the others waiting."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)

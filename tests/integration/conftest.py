"""Sites for the integration tests.

Most tests share one site per kind of store, with their own cast. A test that needs other settings, or kills what
others use, makes its own site.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servers import require
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

_LOG_LINES = 200

MakeSite = Callable[..., Site]


@pytest.fixture(scope="session", autouse=True)
def servers() -> None:
    """The servers of a site, and root to start them."""
    require("postfix", "redis-server", "redis-sentinel", "dovecot", root=True)


@pytest.fixture(scope="session", params=list(Stores), ids=lambda stores: stores.value)
def shared_site(request: pytest.FixtureRequest, servers: None) -> Iterator[Site]:
    """One site per kind of store, for the whole run."""
    with Site(request.param) as running:
        yield running


@pytest.fixture(scope="session")
def casts() -> Iterator[Cast]:
    """An unlimited number of casts."""
    return (Cast(number) for number in itertools.count(1))


@pytest.fixture
def cast(casts: Iterator[Cast]) -> Cast:
    """People with no history."""
    return next(casts)


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The shared site. A test may stop a part of it and must start it again."""
    return shared_site


@pytest.fixture
def story(site: Site, cast: Cast) -> Story:
    """A story at the shared site."""
    return Story(site, cast)


@pytest.fixture
def make_site(request: pytest.FixtureRequest) -> Iterator[MakeSite]:
    """Make further sites, with the arguments of `Site`. They end with the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> Site:
            site = stack.enter_context(Site(**options))
            request.node.own_sites = [*getattr(request.node, "own_sites", []), site]
            return site

        yield make


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

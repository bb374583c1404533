"""Sites for the integration tests. Most tests share one site for each kind of store, with a cast of their own;
a test that needs other settings, or kills what others use, makes its own."""

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
    """One site for each kind of store, for the whole run."""
    with Site(request.param) as running:
        yield running


@pytest.fixture(scope="session")
def casts() -> Iterator[Cast]:
    """Fresh people for every test, without end for what we do."""
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
    """Makes sites of a test's own: the arguments are `Site`'s. They end with the test."""
    with ExitStack() as stack:

        def make(**options: Any) -> Site:
            site = stack.enter_context(Site(**options))
            request.node.own_sites = [*getattr(request.node, "own_sites", []), site]
            return site

        yield make


@pytest.fixture
def nothing_more_is_sent(casts: Iterator[Cast]) -> Callable[[Site], None]:
    """Returns when every message that was due before has been sent and delivered.

    A whole other story is played after it: its notice is decided later and has the same delay, so when that notice
    has come, one that was decided before would have come too.
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
    """With a failure come the logs of every site that the test used."""
    report = yield
    if report.failed:
        funcargs: dict[str, Any] = getattr(item, "funcargs", {})
        sites = {id(site): site for site in [*funcargs.values(), *getattr(item, "own_sites", [])]}
        for site in sites.values():
            if isinstance(site, Site):
                tail = "\n".join(site.logs().splitlines()[-_LOG_LINES:])
                report.sections.append((f"logs of the {site.stores.value} site", tail))
    return report

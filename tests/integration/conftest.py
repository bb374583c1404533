"""Sites for the integration tests.

Most tests share one site per kind of store, with their own cast. A test that needs other settings, or kills what
others use, makes its own site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

MakeSite = Callable[..., Site]


@pytest.fixture(scope="session", autouse=True)
def servers(mail_servers: None) -> None:
    """The servers of a site, which every test here needs."""


@pytest.fixture(scope="session", params=list(Stores), ids=lambda stores: stores.value)
def shared_site(request: pytest.FixtureRequest, shared_sites: Callable[..., Site]) -> Site:
    """One site per kind of store, for the whole run."""
    return shared_sites(request.param)


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

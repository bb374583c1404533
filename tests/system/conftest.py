"""A Debian that boots, the package that was built, and mail servers made of the two.

One run makes one image for each kind of MTA and one package; every host is a layer over an image. A machine that
cannot make or boot a Debian counts as a missing server (tests/servers.py).

To run these tests again and again: $STOPIT_IMAGES names a directory that keeps the images, $STOPIT_PACKAGE a package
that is already built, and $STOPIT_PACKAGE_BEFORE the one that test_upgrade.py upgrades from.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import servers
from stopit_lab.debian import TOOLS, Host, Image, NoDebianError
from stopit_lab.mailhost import QUICK, REDIS, UNITS, MailHost
from stopit_lab.people import CAMPUS, Cast
from stopit_lab.postfix_host import PostfixHost
from stopit_lab.story import Story

ROOT = Path(__file__).parents[2]
BUILD = 900
CASTS = tuple(Cast(number) for number in range(12))
CLIENTS = tuple(Cast(number) for number in range(20, 24))
LOG_LINES = 250

MakeHost = Callable[..., MailHost]
HOSTS = pytest.StashKey[list[MailHost]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip long tests unless they are asked for. The purge comes last, because all tests share one host."""
    items.sort(key=lambda item: item.path.name == "test_purge.py")
    if os.environ.get("STOPIT_SYSTEM") == "all":
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: ./run test --system"))


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The directory of images and hosts: on a disk, because they are large."""
    servers.require(*TOOLS, root=True)
    with tempfile.TemporaryDirectory(prefix="stopit-system-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def build(home: Path) -> Callable[[str], Path]:
    """Build the package, with another version if one is given, and return its file."""

    def build(version: str = "") -> Path:
        directory = home / f"package-{version or 'now'}"
        command = [str(ROOT / "run"), "deb", "--output", str(directory), *(["--version", version] if version else [])]
        # The best compression takes most of the time, and this package is not downloaded (dpkg-deb(1)).
        quickly = {"DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=BUILD, env={**os.environ, **quickly}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return next(directory.glob("*.deb"))

    return build


@pytest.fixture(scope="session")
def image_of(home: Path) -> Callable[[type[MailHost]], Image]:
    """Return the image for a kind of mail host, which is made on first use."""
    made: dict[type[MailHost], Image] = {}

    def image_of(kind: type[MailHost]) -> Image:
        directory = Path(os.environ.get("STOPIT_IMAGES", home)) / f"image-{kind.__name__}"
        if kind not in made and directory.exists():
            made[kind] = Image(directory)
        if kind not in made:
            try:
                made[kind] = Image.make(directory, kind.packages)
            except NoDebianError as error:
                servers.missing(f"a Debian, and none could be made: {error}")
        return made[kind]

    return image_of


@pytest.fixture(scope="session")
def package(build: Callable[[], Path], image_of: Callable[[type[MailHost]], Image]) -> Path:
    """The package of this tree. It is built while the first image is made."""
    if "STOPIT_PACKAGE" in os.environ:
        return Path(os.environ["STOPIT_PACKAGE"])
    with ThreadPoolExecutor(1) as aside:
        built = aside.submit(build)
        image_of(PostfixHost)
        return built.result()


@pytest.fixture(scope="session")
def make_host(
    request: pytest.FixtureRequest, home: Path, package: Path, image_of: Callable[[type[MailHost]], Image]
) -> Iterator[MakeHost]:
    """Boot mail servers without Stopit. They end with the run."""
    with ExitStack() as stack:

        def make(kind: type[MailHost] = PostfixHost, casts: Sequence[Cast] = (*CASTS, *CLIENTS)) -> MailHost:
            root = stack.enter_context(image_of(kind).root(Path(tempfile.mkdtemp(prefix="host-", dir=home))))
            try:
                host = stack.enter_context(Host(root, f"mx.{CAMPUS}"))
            except NoDebianError as error:
                servers.missing(f"a Debian that boots: {error}")
            made = kind(host, casts)
            request.config.stash.setdefault(HOSTS, []).append(made)
            made.add_members()
            made.set_up_mta()
            made.set_up_redis()
            return made

        yield make


@pytest.fixture(scope="session")
def site(make_host: MakeHost, package: Path) -> MailHost:
    """A mail server with Postfix and an installed Stopit, with queue and ledger in Redis."""
    made = make_host()
    made.install(package)
    assert not any(made.is_ready(unit) for unit in UNITS), "nothing starts before it is configured"
    made.let_into_redis()
    made.configure({**QUICK, **REDIS})
    made.start()
    made.tell_mta()
    return made


@pytest.fixture(scope="session")
def casts() -> Iterator[Cast]:
    """People with no history, for each story."""
    return iter(CASTS)


@pytest.fixture
def clients() -> Sequence[Cast]:
    """Clients that send without a pause."""
    return CLIENTS


@pytest.fixture
def story(site: MailHost, casts: Iterator[Cast]) -> Story[MailHost]:
    """A new story."""
    return Story(site, next(casts))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the journals of all hosts to the report of a failure."""
    report = yield
    if report.failed:
        for made in item.config.stash.get(HOSTS, []):
            try:
                tail = "\n".join(made.logs().splitlines()[-LOG_LINES:])
            except (OSError, RuntimeError) as error:  # the failure itself must be reported
                tail = f"no journal: {error}\n{made.host.console_text()}"
            report.sections.append((f"journal of {made.host.directory}", tail))
    return report

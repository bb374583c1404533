"""The health of a site, by HTTP, by `stopitctl health` and by Prometheus's own tools: with real daemons, a store that
becomes unavailable, a worker that hangs and one that dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stopit_core import config
from stopit_core.model import Assurance, Channel, Command, FlagReport
from stopit_core.open_stores import open_queue
from stopit_core.wire import encode_report
from stopit_lab.people import Cast
from stopit_lab.redis import Redis
from stopit_lab.site import Site, Stores
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "stopit.rules.yml"
JOBS = ("stopit-milter", "stopit-notifier")
DAY = 288
"""Scrapes in a day, one in five minutes."""
MOVES_ON = ("stopit_notifier_last_success_timestamp_seconds", "stopit_notifier_last_turn_timestamp_seconds")


def ask(address: str, path: str) -> tuple[int, str]:
    """The status and the text of one of a daemon's pages."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ready(address: str) -> bool:
    return ask(address, "/readyz")[0] == 200


@dataclass(frozen=True)
class Fresh:
    """A site that just began, and its daemons' pages of metrics: the first, and those after a moment of idleness."""

    site: Site
    first: list[str]
    idle: list[str]


@pytest.fixture(scope="module")
def fresh() -> Iterator[Fresh]:
    """A site on Redis. Its pages are kept before any test does something to it."""
    with Site(Stores.REDIS) as site:
        first = [ask(address, "/metrics")[1] for address in site.addresses]
        until(lambda: all(map(ready, site.addresses)), "both to be ready")
        until(lambda: site.notifier_metrics().value("stopit_queue_durable") == 1, "a look at Redis's durability")
        yield Fresh(site, first, [ask(address, "/metrics")[1] for address in site.addresses])


@pytest.fixture
def site(fresh: Fresh) -> Site:
    """The site, when both daemons are ready."""
    site = fresh.site
    redis(site).start()
    until(lambda: all(map(ready, site.addresses)), "both to be ready")
    return site


def redis(site: Site) -> Redis:
    assert site.redis is not None
    return site.redis


def health(site: Site, *arguments: str) -> tuple[int, list[str]]:
    """Run `stopitctl health`. Return its output, both streams, and its exit code."""
    done = subprocess.run(
        [*site.ctl_command(), "health", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def samples(page: str) -> dict[str, float]:
    return {
        f"{sample.name}{{{','.join(f'{name}={value!r}' for name, value in sample.labels.items())}}}": sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def alerts_in_a_day(fresh: Fresh, directory: Path, **changed: float) -> str:
    """What promtool says to the expectation that no alert is as much as pending on a day, at the begin of which the
    daemons show their first pages, and then the idle ones. `changed`: values that are other than there."""
    series = [f"      - {{series: 'up{{job=\"{job}\",instance=\"mx1\"}}', values: '1x{DAY}'}}" for job in JOBS]
    for job, before, after in zip(JOBS, map(samples, fresh.first), map(samples, fresh.idle), strict=True):
        for key, value in after.items():
            name, labels = re.fullmatch(r"(\w+)\{(.*)\}", key).groups()  # type: ignore[union-attr]
            labels = ",".join([f'job="{job}"', 'instance="mx1"', *filter(None, [labels.replace("'", '"')])])
            now = changed.get(name, value)
            values = f"{before.get(key, 0.0)} {now}x{DAY}"
            if name in MOVES_ON:  # promtool's clock begins at 0
                values = f"0 300+300x{DAY}"
            series.append(f"      - {{series: '{name}{{{labels}}}', values: '{values}'}}")
    times = "".join(f"\n      - {{expr: ALERTS, eval_time: {hours}h, exp_samples: []}}" for hours in (1, 6, 12, 23))
    file = directory / "idle.yml"
    file.write_text(
        f"rule_files: ['{RULES}']\nevaluation_interval: 5m\ntests:\n  - interval: 5m\n    input_series:\n"
        + "\n".join(series)
        + f"\n    promql_expr_test:{times}\n"
    )
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False, timeout=120
    )
    assert "SUCCESS" in done.stdout or "got:" in done.stdout + done.stderr, done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_no_alert_on_an_idle_site_from_its_first_second_on(fresh: Fresh, tmp_path: Path) -> None:
    assert alerts_in_a_day(fresh, tmp_path) == ""
    assert "StopitRedisNotDurable" in alerts_in_a_day(fresh, tmp_path, stopit_queue_durable=0.0)
    assert "StopitNotifierStuck" in alerts_in_a_day(fresh, tmp_path, stopit_ready=0.0)


def test_promtool_finds_no_fault_in_the_metrics(site: Site) -> None:
    for address in site.addresses:
        page = ask(address, "/metrics")[1]
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert "stopit_ready 1.0" in page


def test_ready_and_alive(site: Site) -> None:
    for address in site.addresses:
        assert ask(address, "/healthz") == (200, "alive\n")
        assert ask(address, "/nothing")[0] == 404
    milter, notifier = (ask(address, "/readyz")[1].splitlines() for address in site.addresses)
    assert milter[0] == notifier[0] == "ready"
    assert {line.rpartition(": ")[0].split(" at ")[0] for line in milter[1:]} == {"milter", "queue"}
    assert notifier[1:] == ["case record: ok", "queue: ok", "ledger: ok", "loop: ok"]
    assert health(site) == (0, ["ok      stopit-milter: ready", "ok      stopit-notifier: ready"])


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_without_redis_the_milter_is_ready_and_the_notifier_is_not(site: Site, fault: str) -> None:
    milter, notifier = site.addresses
    getattr(redis(site), fault)()

    until(lambda: not ready(notifier), "the notifier to be not ready")
    until(lambda: "spool" in ask(milter, "/readyz")[1], "the milter to try its spool")

    status, said = ask(milter, "/readyz")
    assert status == 200
    assert "spool, in its place: ok" in said
    assert re.search(r"^queue: redis .+", ask(notifier, "/readyz")[1], re.M)
    assert ask(notifier, "/healthz")[0] == 200
    assert site.notifier_metrics().value("stopit_ready") == 0
    code, (well, ill) = health(site)
    assert code == 1
    assert well.startswith("ok      stopit-milter: ready; queue: redis ")
    assert ill.startswith("FAULT   stopit-notifier: not ready; queue: redis ")
    assert health(site, "milter")[0] == 0


def test_with_neither_redis_nor_spool_the_milter_is_not_ready(site: Site) -> None:
    milter, _ = site.addresses
    redis(site).kill()
    with _without(site.directory / "spool"):
        until(lambda: not ready(milter), "the milter to be not ready")

        said = ask(milter, "/readyz")[1]
        assert re.search(r"^spool, in its place: spool .+: .+", said, re.M)
        assert site.milter_metrics().value("stopit_ready") == 0
        assert ask(milter, "/healthz")[0] == 200
    until(lambda: ready(milter), "the milter to be ready")


def test_only_worker_that_hangs_is_seen_and_one_that_dies_is_counted(make_site: Callable[..., Site]) -> None:
    site = make_site(values={"milter": {"workers": 1}})
    milter, _ = site.addresses
    worker = _worker(site)
    os.kill(worker, signal.SIGSTOP)
    try:
        until(lambda: not ready(milter), "the milter to be not ready")
        assert "milter at unix:" in health(site, "milter")[1][0]
    finally:
        os.kill(worker, signal.SIGKILL)

    until(lambda: ready(milter), "the milter to be ready")
    assert site.milter_metrics().value("stopit_milter_workers_ended_total") == 1


def test_notifier_without_its_case_record(make_site: Callable[..., Site]) -> None:
    own = make_site()
    _, notifier = own.addresses
    until(lambda: ready(notifier), "the notifier to be ready")
    own.notifier.terminate()
    code, lines = health(own)
    assert (code, lines[-1].partition(":")[0]) == (1, "FAULT   stopit-notifier")
    assert "no answer at" in lines[-1]

    for file in own.directory.glob("cases.db*"):
        file.unlink()
    (own.directory / "cases.db").mkdir()
    own.notifier.start()

    until(lambda: ask(notifier, "/readyz")[0] == 503, "the notifier to be not ready")
    assert re.search(r"^case record: .+open", ask(notifier, "/readyz")[1], re.M)
    (own.directory / "cases.db").rmdir()
    until(lambda: ready(notifier), "the notifier to be ready")


def test_mail_of_ours_that_the_mta_does_not_take_is_counted(site: Site, cast: Cast) -> None:
    site.postfix.stop()
    flag = FlagReport(
        "f" * 32, time.time() - 10, "4X", Channel.REPLY, Command.FLAG, cast.vera, Assurance.AUTHENTICATED, ()
    )
    with closing(open_queue(config.load(site.config).queue)) as queue:
        queue.put(flag.id, encode_report(flag))

    until(lambda: site.notifier_metrics().value("stopit_outbox_put_off") == 1, "a message that is put off")

    assert 'event="deferred, will retry"' in site.notifier.log_text()
    assert site.notifier_metrics().value("stopit_smtp_send_duration_seconds_count") >= 1
    assert all(map(ready, site.addresses))
    site.postfix.start()


@contextmanager
def _without(directory: Path) -> Iterator[None]:
    """Replace a directory by a file of its name during the block."""
    away = directory.with_name("away")
    directory.rename(away)
    directory.write_text("no directory")
    try:
        yield
    finally:
        directory.unlink()
        away.rename(directory)


def _worker(site: Site) -> int:
    """The first child of the milter."""
    pid = site.milter.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()[0])

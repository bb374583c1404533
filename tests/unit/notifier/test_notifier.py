"""The program as the service manager runs it: start-up while stores are away, reload, faults of the configuration."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stopit_core.config import load
from stopit_core.identity.keys import new_key
from stopit_core.open_stores import open_queue
from stopit_lab.daemons import Daemon, Metrics, program, scrape
from stopit_lab.ports import spare_ports
from stopit_lab.waiting import until

CONFIG = """
[campus]
name = "{name}"
domains = ["campus.example"]
report_address = "stopit@campus.example"
staff_address = "staff@campus.example"
[queue]
url = "sqlite:///{directory}/queue.db"
lease = "1s"
[ledger]
url = "sqlite:///{directory}/ledger.db"
key_file = "{directory}/site.key"
[cases]
url = "{cases}"
[smtp]
port = {smtp}
[notifier]
metrics = "127.0.0.1:{metrics}"
templates = "{directory}/templates"
"""


class Place:
    """A directory with a configuration, and its notifier."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.smtp, self.port = spare_ports(2)
        self.config = directory / "stopit.toml"
        (directory / "templates").mkdir()
        (directory / "site.key").write_text(new_key())
        self.write()
        self.daemon = Daemon("notifier", [program("stopit-notifier"), "--config", str(self.config)], directory)

    def write(self, name: str = "Campus", cases: str = "", more: str = "") -> None:
        self.config.write_text(
            CONFIG.format(
                name=name,
                directory=self.directory,
                cases=cases or f"sqlite:///{self.directory}/cases.db",
                smtp=self.smtp,
                metrics=self.port,
            )
            + more
        )

    def metrics(self) -> Metrics:
        return scrape(f"127.0.0.1:{self.port}")

    def until(self, holds: Callable[[Metrics], bool], what: str) -> None:
        until(lambda: holds(self.metrics()), what)

    def refused(self) -> tuple[int, list[str]]:
        """Run it where it cannot start, and return its exit code and its messages."""
        command = [program("stopit-notifier"), "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr.splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.daemon.kill()


def succeeded(metrics: Metrics) -> bool:
    return metrics.value("stopit_notifier_last_success_timestamp_seconds") > time.time() - 60


def test_it_starts_works_and_ends(place: Place) -> None:
    place.daemon.start()
    place.until(succeeded, "a turn without a fault")

    assert place.daemon.terminate() == 0

    assert "event=ended" in place.daemon.log_text()


def test_a_key_under_its_old_name_is_read_with_a_warning(place: Place) -> None:
    place.write(more="[milter]\nrecycle_after = 5\n")
    place.daemon.start()
    assert "milter.recycle_after: is now milter.max_messages" in place.daemon.log_text()


def test_metrics_start_at_zero_and_tell_of_the_process(place: Place) -> None:
    place.daemon.start()
    metrics = place.metrics()

    assert metrics.value("stopit_messages_sent_total", kind="notice", result="unclear") == 0
    assert metrics.value("stopit_decisions_total", outcome="notice", reason="notice-due") == 0
    assert metrics.value("stopit_config_last_reload_successful") == 1
    assert metrics.value("process_resident_memory_bytes") > 0
    assert not any(name.endswith("_created") for name, _, _ in metrics.series())


def test_every_fault_is_named_and_it_ends_with_78(place: Place) -> None:
    place.write(more="[policy]\ncool = 1\n")
    assert place.refused() == (78, [f"{place.config}: policy.cool: unknown key; did you mean cooldown?"])

    place.write()
    (place.directory / "site.key").write_text("secret")
    (place.directory / "templates" / "notice.txt.j2").write_text("Subject: Hello\n\n{{ reporter }}\n")
    code, faults = place.refused()

    assert code == 78
    assert [fault.partition(":")[0].rpartition("/")[2] for fault in faults] == ["site.key"] + ["notice.txt.j2"] * 2
    assert any("reporter" in fault for fault in faults)


def test_port_of_the_metrics_that_is_taken_is_no_fault_of_the_configuration(place: Place) -> None:
    place.daemon.start()

    code, said = place.refused()

    assert code == 1
    assert "cannot serve metrics" in said[0]


def test_stores_that_are_away_are_waited_for(place: Place) -> None:
    """PostgreSQL refuses connections, and there is no MTA."""
    (nobody,) = spare_ports(1)
    place.write(cases=f"postgresql+psycopg://nobody@127.0.0.1:{nobody}/none")
    place.daemon.start()
    place.until(lambda metrics: metrics.value("stopit_notifier_faults_total", stage="intake") >= 2, "two faults")

    assert place.daemon.running
    assert place.metrics().value("stopit_notifier_last_success_timestamp_seconds") == 0
    assert place.daemon.log_text().count("fault, will retry") == 1  # said once, counted each time
    assert place.daemon.terminate() == 0


def test_queue_that_is_away_comes_back(place: Place) -> None:
    queue = place.directory / "queue.db"
    queue.mkdir()
    place.daemon.start()
    place.until(lambda metrics: metrics.value("stopit_notifier_faults_total", stage="intake") >= 1, "a fault")
    queue.rmdir()

    place.until(succeeded, "a turn without a fault")

    assert "no faults any more" in place.daemon.log_text()


def test_unreadable_report_is_a_dead_letter_and_stops_nothing(place: Place) -> None:
    place.daemon.start()
    queue = open_queue(load(place.config).queue)
    queue.put("a report", b"\xffnonsense")

    place.until(lambda metrics: metrics.value("stopit_dead_letters") == 1, "a dead letter in the metrics")

    queue.close()
    assert place.metrics().value("stopit_queue_depth") == 0


@pytest.mark.parametrize("broken", ["file", "template", "key"])
def test_reload_of_what_is_faulty_keeps_the_old(place: Place, broken: str) -> None:
    place.daemon.start()
    mended = {
        "file": (place.config, place.config.read_text()),
        "key": (place.directory / "site.key", (place.directory / "site.key").read_text()),
        "template": (place.directory / "templates" / "notice.txt.j2", ""),
    }[broken]
    mended[0].write_text("Subject: {{ nobody }}\n\nx" if broken == "template" else "broken")

    place.daemon.reload()
    after_fault = place.metrics().value("stopit_config_last_reload_successful")
    if mended[1]:
        mended[0].write_text(mended[1])
    else:
        mended[0].unlink()
    place.daemon.reload()

    assert (after_fault, place.metrics().value("stopit_config_last_reload_successful")) == (0, 1)
    assert "reload refused, the old configuration stays in force" in place.daemon.log_text()
    assert place.daemon.terminate() == 0

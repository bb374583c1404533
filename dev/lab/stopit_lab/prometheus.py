"""A private Prometheus: Debian's, with a short scrape interval, on a spare port."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stopit_lab.ports import HOST, spare_ports
from stopit_lab.waiting import until

__all__ = ["Prometheus", "Sample"]

_STOP = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of a result, and its current value."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A server in a directory.

    `targets` maps a job to the addresses ("host:port") that it scrapes. `consoles` is the directory of console pages;
    there is no console library. `rules` are files of rules.
    """

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Sequence[str]],
        consoles: Path | None = None,
        rules: Sequence[Path] = (),
        interval: str = "1s",
    ) -> None:
        (port,) = spare_ports(1)
        self.address = f"{HOST}:{port}"
        self._directory = directory
        self._consoles = consoles
        self._process: subprocess.Popen[bytes] | None = None
        self._setup = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in targets.items()
            ],
        }

    @property
    def url(self) -> str:
        """The URL of its pages."""
        return f"http://{self.address}"

    @property
    def log(self) -> Path:
        """The path of its log."""
        return self._directory / "prometheus.log"

    def __enter__(self) -> Self:
        self._directory.mkdir(exist_ok=True)
        libraries = self._directory / "no-libraries"
        libraries.mkdir(exist_ok=True)
        setup = self._directory / "prometheus.yml"
        setup.write_text(json.dumps(self._setup))  # JSON is YAML
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={setup}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address={self.address}",
                    f"--web.console.libraries={libraries}",
                    f"--web.console.templates={self._consoles or libraries}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
            )
        try:
            until(self._ready, "Prometheus")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def query(self, expr: str) -> list[Sample]:
        """Evaluate an expression now. Raises ValueError with the error if it is not valid."""
        data = self._ask("query", query=expr)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]

    def up(self) -> Mapping[str, str]:
        """Return each scraped address and its health: up, down or unknown."""
        targets = self._ask("targets", state="active")["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in targets}

    def page(self, path: str) -> str:
        """Return the text of one of its pages. Raises OSError with the response if it has none."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise OSError(f"{path}: {error.code} {error.read().decode()}") from None

    def _ask(self, what: str, **arguments: str) -> Any:
        try:
            text = self.page(f"/api/v1/{what}?{urllib.parse.urlencode(arguments)}")
        except OSError as error:
            raise ValueError(f"{arguments}: {error}") from None
        return json.loads(text)["data"]

    def _ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"Prometheus ended:\n{self.log.read_text()}")
        try:
            self.page("/-/ready")
        except OSError:
            return False
        return True

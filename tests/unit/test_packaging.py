"""The wheel as the build makes it, and the lock files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_string
from pathlib import Path

import pytest

from stopit_core import __version__

ROOT = Path(__file__).parents[2]
PACKAGES = {"stopit_core", "stopit_milter", "stopit_notifier", "stopit_ctl"}
LOCKS = ("requirements/build.txt", "requirements/runtime.txt", "requirements/dev.txt", "requirements/bench.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


class Wheel:
    """The names in a wheel, and the files of its metadata."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.names = archive.namelist()
            self._metadata = {
                Path(name).name: archive.read(name).decode() for name in self.names if ".dist-info/" in name
            }

    def metadata(self, name: str) -> str:
        return self._metadata[name]

    def top_level(self) -> set[str]:
        return {name.split("/")[0] for name in self.names if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel of this tree."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = place.glob("*.whl")
    return Wheel(path)


class TestWheel:
    def test_it_holds_our_packages_and_no_others(self, wheel: Wheel) -> None:
        """In particular no `milter`, which is pymilter's."""
        assert wheel.top_level() == PACKAGES

    def test_it_holds_every_module_of_them(self, wheel: Wheel) -> None:
        packages = [ROOT / place for place in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
        modules = {str(path.relative_to(package.parent)) for package in packages for path in package.rglob("*.py")}
        assert modules
        assert modules <= set(wheel.names)

    def test_each_package_says_that_it_is_typed(self, wheel: Wheel) -> None:
        """A package with its own recogniser or directory can be type-checked against ours (PEP 561)."""
        assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.names)

    def test_it_holds_every_message_template(self, wheel: Wheel) -> None:
        templates = {path.name for path in (ROOT / "config" / "templates").glob("*.j2")}
        assert templates
        assert templates <= {Path(name).name for name in wheel.names if name.startswith("stopit_core/templates/")}

    def test_it_holds_the_lines_for_sendmail(self, wheel: Wheel) -> None:
        assert "stopit_ctl/sendmail/stopit.mc" in wheel.names

    def test_it_holds_nothing_of_the_lab(self, wheel: Wheel) -> None:
        assert not [name for name in wheel.names if "lab" in Path(name).parts[0] or "test" in Path(name).parts[0]]

    def test_its_programs_and_plug_ins_can_be_found(self, wheel: Wheel) -> None:
        points = ConfigParser(delimiters=["="])
        points.read_string(wheel.metadata("entry_points.txt"))

        assert set(points["console_scripts"]) == {"stopit-milter", "stopit-notifier", "stopitctl"}
        assert set(points["stopit.flags"]) == {"reply", "header", "report-address"}
        assert set(points["stopit.directory"]) == {"template"}
        for group in points.sections():
            for target in points[group].values():
                module = target.partition(":")[0].replace(".", "/")
                assert {f"{module}.py", f"{module}/__init__.py"} & set(wheel.names), target

    def test_its_name_is_not_that_of_another_library(self, wheel: Wheel) -> None:
        metadata = message_from_string(wheel.metadata("METADATA"))
        assert metadata["Name"] == "stopit-mail"
        assert metadata["License-Expression"] == "GPL-3.0-or-later"
        assert "LICENSE" in {Path(name).name for name in wheel.names}


class TestVersion:
    def test_it_is_written_in_one_place(self, wheel: Wheel) -> None:
        assert message_from_string(wheel.metadata("METADATA"))["Version"] == __version__
        assert "version" not in PROJECT["project"]

    def test_the_changelog_knows_it(self) -> None:
        headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
        assert headings
        assert headings[0].split()[0] in (__version__, "Unreleased")


def requirements(lock: str) -> dict[str, str]:
    """The requirements of a lock file, by name, each with its continuation lines."""
    text = re.sub(r"\\\n", " ", (ROOT / lock).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {re.split(r"[=\[ ;]", line, maxsplit=1)[0]: line for line in lines}


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_every_requirement_is_pinned_with_hashes(self, lock: str) -> None:
        found = requirements(lock)
        assert found
        for name, line in found.items():
            assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==[\w.!+]+ ", line), f"{lock}: {name} has no exact version"
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), f"{lock}: {name} has no hash"

    @pytest.mark.parametrize("lock", LOCKS)
    def test_no_lock_file_names_an_index(self, lock: str) -> None:
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert "index-url" not in text
        assert " @ " not in text

    def test_everything_that_the_project_asks_for_is_locked(self) -> None:
        def names(wanted: list[str]) -> set[str]:
            return {re.split(r"[\[<>=!~ ;]", name, maxsplit=1)[0].replace(".", "-").lower() for name in wanted}

        assert names(PROJECT["project"]["dependencies"]) <= requirements("requirements/runtime.txt").keys()
        for group in ("dev", "bench"):
            wanted = names(PROJECT["project"]["optional-dependencies"][group])
            assert wanted <= requirements(f"requirements/{group}.txt").keys()
        assert names(PROJECT["build-system"]["requires"]) <= requirements("requirements/build.txt").keys()

    def test_tests_run_on_the_versions_that_are_shipped(self) -> None:
        def version(line: str) -> str:
            return line.split()[0].partition("==")[2]

        dev = requirements("requirements/dev.txt")
        for name, line in requirements("requirements/runtime.txt").items():
            assert version(dev[name]) == version(line), name

    def test_the_benchmark_changes_no_version(self) -> None:
        """The benchmark is installed into the same environment."""
        dev, bench = (
            {name: line.split()[0] for name, line in requirements(f"requirements/{group}.txt").items()}
            for group in ("dev", "bench")
        )
        assert {name: dev[name] for name in dev.keys() & bench.keys()} == {
            name: bench[name] for name in dev.keys() & bench.keys()
        }

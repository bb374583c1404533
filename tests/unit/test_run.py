"""The apt step of ./run: two at once, and one that was killed, leave policy-rc.d as it was.

Its functions are taken out of the script and run with a policy-rc.d and an apt-get of the test's own.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run"
THEIRS = "#!/bin/sh\n# decides by a list of the site\nexit 104\n"
APT_GET = """\
#!/bin/sh
# Logs what policy-rc.d says at the begin and at the end of an installation, which takes as long as $held is there.
case "$*" in *" install "*) ;; *) exit 0 ;; esac
sh "$policy" >/dev/null 2>&1
echo "begin $?" >>"$log"
while [ -e "$held" ]; do sleep 0.02; done
sh "$policy" >/dev/null 2>&1
echo "end $?" >>"$log"
"""


class Apt:
    """A directory with a policy-rc.d and stubs of the programs that `apt_install` calls."""

    def __init__(self, place: Path) -> None:
        self.policy = place / "policy-rc.d"
        self.lock = place / "lock"
        self.log = place / "log"
        self.held = place / "held"
        self._bin = place / "bin"
        self._bin.mkdir()
        for name, text in {"apt-get": APT_GET, "debconf-set-selections": "#!/bin/sh\ncat >/dev/null\n"}.items():
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        functions = re.findall(r"^(?:deny_services|apt_install)\(\) \{\n.*?^\}\n", RUN.read_text(), re.M | re.S)
        assert len(functions) == 2, "the test must never come to the machine's own policy-rc.d"
        self._functions = "".join(functions)

    def start(self) -> subprocess.Popen[str]:
        """Start an installation, in a process group of its own."""
        paths = {"policy": self.policy, "log": self.log, "held": self.held}
        call = f"apt_install {shlex.quote(str(self.policy))} {shlex.quote(str(self.lock))} a-package"
        return subprocess.Popen(
            ["bash", "-c", f"{self._functions}{call}"],
            env={**os.environ, **{name: str(path) for name, path in paths.items()}}
            | {"PATH": f"{self._bin}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def install(self) -> str:
        """Install, and return the output."""
        process = self.start()
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output
        return output

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def begun(self, count: int) -> None:
        """Wait until this number of installations have begun."""
        end = time.monotonic() + 10
        while sum(line.startswith("begin") for line in self.lines()) < count:
            assert time.monotonic() < end, self.lines()
            time.sleep(0.02)

    def files(self) -> set[str]:
        """Return the names of the files beside policy-rc.d, without those of the test."""
        own = {self.lock.name, self.log.name, self.held.name, self._bin.name}
        return {path.name for path in self.policy.parent.iterdir()} - own


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path)


@pytest.fixture(params=[THEIRS, None], ids=["a site's own policy", "no policy"])
def before(request: pytest.FixtureRequest, apt: Apt) -> str | None:
    """The policy-rc.d that was there before."""
    content: str | None = request.param
    if content is not None:
        apt.policy.write_text(content)
        apt.policy.chmod(0o755)
    return content


def is_as(apt: Apt, before: str | None) -> bool:
    """Return whether policy-rc.d is as before, and no file is beside it."""
    if before is None:
        return apt.files() == set()
    mode = apt.policy.stat().st_mode & 0o777
    return (apt.files(), apt.policy.read_text(), mode) == ({apt.policy.name}, before, 0o755)


def test_no_service_starts_while_packages_are_installed(apt: Apt, before: str | None) -> None:
    apt.install()

    assert apt.lines() == ["begin 101", "end 101"]
    assert is_as(apt, before)


def test_two_at_once_take_turns(apt: Apt, before: str | None) -> None:
    apt.held.touch()
    first = apt.start()
    apt.begun(1)
    second = apt.start()
    time.sleep(0.5)
    waiting = apt.lines()
    apt.held.unlink()
    outputs = [process.communicate(timeout=20)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert waiting == ["begin 101"]
    assert apt.lines() == ["begin 101", "end 101"] * 2
    assert "another ./run" in outputs[1]
    assert is_as(apt, before)


def test_one_that_is_killed_is_cleaned_up_by_the_next(apt: Apt, before: str | None) -> None:
    apt.held.touch()
    killed = apt.start()
    apt.begun(1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=20)
    apt.held.unlink()
    assert apt.policy.read_text() != before

    apt.install()

    assert apt.lines()[-2:] == ["begin 101", "end 101"]
    assert is_as(apt, before)


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
@pytest.mark.parametrize("killed", [False, True], ids=["in order", "killed once before"])
def test_a_symbolic_link_stays_one(apt: Apt, there: bool, killed: bool) -> None:
    target = apt.policy.with_name("a-policy-of-the-site")
    if there:
        target.write_text(THEIRS)
        target.chmod(0o755)
    apt.policy.symlink_to(target)
    if killed:
        apt.held.touch()
        process = apt.start()
        apt.begun(1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
        apt.held.unlink()

    apt.install()

    assert apt.lines()[-2:] == ["begin 101", "end 101"]
    assert apt.policy.readlink() == target
    assert apt.files() == {apt.policy.name} | ({target.name} if there else set())
    assert not there or target.read_text() == THEIRS


def test_a_link_to_nothing_that_a_killed_run_put_aside_comes_back(apt: Apt) -> None:
    """Killed after it put the link aside and before it wrote its own."""
    apt.policy.symlink_to("nowhere")
    aside = apt.policy.with_name("policy-rc.d.before-stopit")
    os.link(apt.policy, aside, follow_symlinks=False)

    apt.install()

    assert str(apt.policy.readlink()) == "nowhere"
    assert apt.files() == {apt.policy.name}


def test_one_that_is_ended_cleans_up(apt: Apt, before: str | None) -> None:
    apt.held.touch()
    ended = apt.start()
    apt.begun(1)
    os.killpg(ended.pid, signal.SIGTERM)
    ended.communicate(timeout=20)

    assert ended.returncode != 0
    assert is_as(apt, before)


@pytest.mark.parametrize(
    "policy", ["#!/bin/sh\nexit 101\n", THEIRS, None], ids=["of an older version", "with a second link", "none"]
)
def test_what_a_killed_run_put_aside_comes_back(apt: Apt, policy: str | None) -> None:
    """Killed after it put the policy aside, and before or after it wrote its own."""
    aside = apt.policy.with_name("policy-rc.d.before-stopit")
    aside.write_text(THEIRS)
    aside.chmod(0o755)
    if policy == THEIRS:
        apt.policy.hardlink_to(aside)
    elif policy is not None:
        apt.policy.write_text(policy)

    apt.install()

    assert is_as(apt, THEIRS)


def test_of_two_policies_none_is_lost(apt: Apt) -> None:
    """If a new one was written after a run was killed, a person must choose."""
    aside = apt.policy.with_name("policy-rc.d.before-stopit")
    aside.write_text(THEIRS)
    apt.policy.write_text("#!/bin/sh\nexit 0\n")

    process = apt.start()
    output, _ = process.communicate(timeout=20)

    assert process.returncode != 0
    assert str(aside) in output
    assert apt.lines() == []
    assert (aside.read_text(), apt.policy.read_text()) == (THEIRS, "#!/bin/sh\nexit 0\n")


PYTHON = """\
#!/bin/sh
# A Python whose venv gets its pip last, and takes as long as $held is there.
here="$(dirname "$0")"
case "$*" in
    "-VV") echo "Python 3.11.2" ;;
    "-m venv "*)
        mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
        touch "$begun"
        while [ -e "$held" ]; do sleep 0.02; done
        touch "$3/bin/pip"
        ;;
    "-m pip --version"*) [ -e "$here/pip" ] ;;
    "-m pip "*) [ -e "$here/pip" ] && echo "$$" >>"$log" ;;
esac
"""


class Venv:
    """A directory with what `install_python` reads, and a stub of Python."""

    def __init__(self, place: Path) -> None:
        self.held, self.begun, self.log = (place / name for name in ("held", "begun", "log"))
        self._place = place
        (place / "requirements").mkdir()
        for name in ("pyproject.toml", *(f"requirements/{name}.txt" for name in ("build", "runtime", "dev"))):
            (place / name).write_text(name)
        (place / "python").write_text(PYTHON)
        (place / "python").chmod(0o755)
        functions = re.findall(r"^install_python\w*\(\) \{\n.*?^\}\n", RUN.read_text(), re.M | re.S)
        head = 'set -euo pipefail; say() { echo "$*"; }; fail() { echo "$*"; exit 1; }; python=./python venv=.venv\n'
        self._script = f"{head}stamp=$venv/.stopit-lock\n{''.join(functions)}install_python"

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", self._script],
            cwd=self._place,
            env={**os.environ, "held": str(self.held), "begun": str(self.begun), "log": str(self.log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_until_begun(self) -> None:
        end = time.monotonic() + 10
        while not self.begun.exists():
            assert time.monotonic() < end
            time.sleep(0.02)


def test_of_two_that_install_python_packages_the_second_finds_them_installed(tmp_path: Path) -> None:
    venv = Venv(tmp_path)
    venv.held.touch()
    first = venv.start()
    venv.wait_until_begun()
    second = venv.start()
    time.sleep(0.5)
    venv.held.unlink()
    outputs = [process.communicate(timeout=20)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert len(venv.log.read_text().splitlines()) == 3
    assert "another ./run" in outputs[1]


def test_a_venv_that_a_killed_run_left_without_pip_is_made_again(tmp_path: Path) -> None:
    venv = Venv(tmp_path)
    venv.held.touch()
    killed = venv.start()
    venv.wait_until_begun()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=20)
    venv.held.unlink()

    again = venv.start()
    output, _ = again.communicate(timeout=20)

    assert again.returncode == 0, output
    assert len(venv.log.read_text().splitlines()) == 3

"""Secrets: the credential from the service manager, else the file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from stopit_core.credentials import DIRECTORY, read_password, read_secret
from stopit_core.errors import ConfigError

NOWHERE = DIRECTORY / "no-such-thing.password"


def test_a_credential_stands_in_for_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / NOWHERE.name).write_text("handed over\n")
    assert read_secret(NOWHERE, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "handed over"


@pytest.mark.parametrize("environ", [{}, {"CREDENTIALS_DIRECTORY": ""}])
def test_without_one_the_file_is_read(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "smtp.password"
    path.write_text(" in the file \n")
    assert read_secret(path, environ) == "in the file"


def test_a_file_elsewhere_is_never_taken_for_a_credential_of_its_name(tmp_path: Path) -> None:
    handed = tmp_path / "handed"
    handed.mkdir()
    (handed / "site.key").write_text("another site's")
    (tmp_path / "site.key").write_text("our own")
    assert read_secret(tmp_path / "site.key", {"CREDENTIALS_DIRECTORY": str(handed)}) == "our own"


@pytest.mark.parametrize("handed", ["", "\n"])
def test_an_empty_credential_means_that_there_was_no_file(tmp_path: Path, handed: str) -> None:
    """SetCredential= of the units provides an empty one, so that the daemon can report what is missing."""
    (tmp_path / NOWHERE.name).write_text(handed)
    with pytest.raises(FileNotFoundError):
        read_secret(NOWHERE, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file; write the password into one, mode 0600"),
        (b" \n", "is empty; write the password into it"),
        (b"\xff\xfe", "cannot be read: it is not text"),
    ],
)
def test_a_password_that_cannot_be_read_says_what_to_do(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "cases.password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_password("cases.password_file", path)
    assert str(caught.value) == f"{path}: cases.password_file: {said}"


def test_one_that_is_newer_than_the_service_says_to_restart_it() -> None:
    def denied(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ConfigError, match="if the file is newer than the service, restart the service"):
        read_password("smtp.password_file", NOWHERE, denied)

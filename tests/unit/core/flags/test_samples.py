"""Every sample in samples/ is what its folder says: flag, record, urgent, none, or mail to the report address."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from stopit_core.config import Campus, FlagWords
from stopit_core.envelope import Envelope
from stopit_core.flags import Flag, FlagRules, NamedOriginal, NotFlagged, Recognisers, load_recognisers, recognise
from stopit_core.mail import Mail, read_message
from stopit_core.model import Channel, Command

SAMPLES = Path(__file__).parent / "samples"
CAMPUS = Campus(
    name="Example University",
    domains=("example.edu",),
    report_address="stopit@example.edu",
    staff_address="staff@example.edu",
)
MEMBER = Envelope(login="vera", mail_from="vera@example.edu", recipients=("<mallory@example.edu>",))
STRANGER = Envelope(mail_from="vera@example.edu", recipients=("<mallory@example.edu>",))
TO_REPORT = Envelope(mail_from="vera@example.edu", recipients=("<stopit@example.edu>",))

# The originals of samples to the report address, if not only <original-1@example.edu>.
NAMED = {
    "attached-three": ("original-1", "original-2", "original-3"),
    "digest": ("original-1", "original-2"),
    "names-none": (),
}


@pytest.fixture(scope="module")
def recognisers() -> Recognisers:
    return load_recognisers(FlagRules.of(FlagWords(), CAMPUS))


def recognised(recognisers: Recognisers, envelope: Envelope, mail: Mail) -> Flag | NotFlagged:
    asked = recognisers.precheck(envelope, mail.headers)
    return asked if isinstance(asked, NotFlagged) else recognise(asked, envelope, mail)


def samples(*folders: str) -> list[pytest.ParameterSet]:
    paths = [path for folder in folders for path in sorted((SAMPLES / folder).glob("*.eml"))]
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in paths]


@pytest.mark.parametrize("path", samples("flag", "record", "urgent"))
def test_reply_that_flags(path: Path, recognisers: Recognisers) -> None:
    mail = read_message(path.read_bytes())

    assert recognised(recognisers, MEMBER, mail) == Flag(
        Channel.REPLY, Command(path.parent.name), (NamedOriginal("original-1@example.edu"),)
    )


@pytest.mark.parametrize("path", samples("flag", "record", "urgent"))
def test_the_same_from_no_member_is_none(path: Path, recognisers: Recognisers) -> None:
    mail = read_message(path.read_bytes())

    assert recognised(recognisers, STRANGER, mail) is NotFlagged.NOT_A_MEMBER


@pytest.mark.parametrize("path", samples("none"))
def test_what_is_no_flag(path: Path, recognisers: Recognisers) -> None:
    expected = {
        "no-reply": NotFlagged.NO_REPLY,
        "auto-submitted": NotFlagged.AUTOMATIC,
        "precedence-bulk": NotFlagged.AUTOMATIC,
        "list": NotFlagged.LIST,
        "resent": NotFlagged.NO_REPLY,
    }.get(path.stem, NotFlagged.NO_KEYWORD)

    assert recognised(recognisers, MEMBER, read_message(path.read_bytes())) is expected


@pytest.mark.parametrize("path", samples("report"))
def test_mail_to_the_report_address(path: Path, recognisers: Recognisers) -> None:
    flag = recognised(recognisers, TO_REPORT, read_message(path.read_bytes()))

    named = NAMED.get(path.stem, ("original-1",))
    assert flag == Flag(
        Channel.REPORT_ADDRESS,
        Command.URGENT if path.stem == "urgent" else Command.FLAG,
        tuple(NamedOriginal(f"{name}@example.edu") for name in named),
    )


def test_there_are_samples_of_every_kind() -> None:
    counts = {folder.name: len(list(folder.glob("*.eml"))) for folder in SAMPLES.iterdir() if folder.is_dir()}

    assert set(counts) == {"flag", "record", "urgent", "none", "report"}
    assert sum(counts.values()) >= 120


def test_the_built_in_recognisers_are_registered_like_any_other() -> None:
    assert {"reply", "header", "report-address"} <= {point.name for point in entry_points(group="stopit.flags")}

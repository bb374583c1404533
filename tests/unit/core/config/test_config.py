"""The configuration: all faults at once, with what to do; the shipped file agrees with the definitions."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core import config
from stopit_core.config.values import format_duration
from stopit_core.errors import ConfigError
from stopit_core.model import Assurance

ROOT = Path(__file__).parents[4]
BAD = sorted((ROOT / "tests" / "bad_config").glob("*.toml"))
SMALL = """
[campus]
name = "Example University"
domains = ["example.edu"]
report_address = "stopit@example.edu"
staff_address = "stopit-staff@example.edu"
"""


def parse(text: str) -> config.Settings:
    return config.parse(SMALL + text, "stopit.toml")


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(fault) for fault in caught.value.faults]


def named(text: str) -> list[str] | None:
    """The faults of a whole file, None when it can be used."""
    try:
        config.parse(text, "stopit.toml")
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return None


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_broken_file_gets_its_messages(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(path.read_text("utf-8"), path.name)
    said = "".join(f"{fault}\n" for fault in caught.value.faults)
    golden = path.with_suffix(".txt")
    if os.environ.get("STOPIT_GOLDEN") == "write":
        golden.write_text(said, "utf-8")
    assert said == golden.read_text("utf-8")


def test_there_are_broken_files() -> None:
    assert len(BAD) >= 15


def test_the_shipped_file_is_what_the_definitions_say() -> None:
    assert (ROOT / "config" / "stopit.toml").read_text("utf-8") == config.describe()


def test_the_shipped_file_can_be_used_and_changes_no_default() -> None:
    shipped = config.load(ROOT / "config" / "stopit.toml")
    assert shipped == parse("")


def test_the_defaults_that_are_written_as_comments_are_the_defaults() -> None:
    """Every commented key that is no example can be enabled without changing anything."""
    lines = []
    for line in config.describe().partition("#[[office]]")[0].splitlines():
        commented = line.startswith("#") and not line.startswith("# ")
        lines.append(line[1:] if commented and "# an example" not in line else line)
    assert config.parse("\n".join(lines), "described") == parse("")


def test_the_shipped_file_names_the_keys_that_need_a_restart_and_no_others() -> None:
    described: dict[str, set[str]] = {}
    for name, section in tomllib.loads(config.describe().replace("\n#", "\n").replace("\n ", "\n# ")).items():
        for key in section if isinstance(section, dict) else ():
            said = " ".join(config.describe_key(f"{name}.{key}").replace("\n#", "").split())
            if "A change needs a restart." in said:
                assert said.count("A change needs a restart.") == 1, f"{name}.{key}"
                described.setdefault(name, set()).add(key)
    assert described == {name: set(keys) for name, keys in config.restart_keys().items()}


class TestFormerName:
    """A key that was renamed: `milter.recycle_after` is `milter.max_messages` now."""

    def test_it_is_read_with_a_warning(self) -> None:
        settings = parse("[milter]\nrecycle_after = 5\n")
        assert settings.milter.max_messages == 5
        assert [str(warning) for warning in settings.warnings] == [
            "stopit.toml: milter.recycle_after: is now milter.max_messages; rename it, the next version will not read"
            " it"
        ]

    def test_there_is_no_warning_without_it(self) -> None:
        assert parse("[milter]\nmax_messages = 5\n").warnings == ()

    def test_both_names_are_a_fault_beside_the_others(self) -> None:
        assert faults("[milter]\nrecycle_after = 5\nmax_messages = 6\nworkers = 0\n") == [
            "stopit.toml: milter.recycle_after: is the former name of milter.max_messages, which is set too;"
            " remove it",
            "stopit.toml: milter.workers = 0: must be 1 or more",
        ]

    def test_a_fault_in_its_value_has_the_name_in_the_file(self) -> None:
        assert faults("[milter]\nrecycle_after = -1\n") == [
            "stopit.toml: milter.recycle_after = -1: must be 0 or more"
        ]

    def test_it_is_not_suggested(self) -> None:
        assert "recycle_after" not in faults("[milter]\nrecycle_afte = 1\n")[0]


def test_every_key_is_documented() -> None:
    for name, section in tomllib.loads(config.describe()).items():
        assert config.describe_key(name)
        for key in section:
            assert config.describe_key(f"{name}.{key}").startswith("# ")


@pytest.mark.parametrize("path", ["polcy", "policy.coldown", "", ".", "policy."])
def test_an_unknown_key_is_not_described(path: str) -> None:
    if path == "policy.":  # the section itself
        assert "[policy]" in config.describe_key(path)
        return
    with pytest.raises(ConfigError, match="no such key"):
        config.describe_key(path)


def test_described_values_are_read_back() -> None:
    chosen = {
        "campus": {
            "name": 'A "quoted" \\ name',
            "domains": ["example.edu", "alumni.example.edu"],
            "report_address": "stopit@example.edu",
            "staff_address": "staff@example.edu",
        },
        "policy": {"cooldown": 7 * 86400.0, "minimum_assurance": Assurance.VERIFIED},
        "ledger": {"key_file": Path("/srv/stopit/site.key")},
    }
    settings = config.parse(config.describe(chosen), "described")
    assert settings.campus.name == 'A "quoted" \\ name'
    assert settings.campus.domains == ("example.edu", "alumni.example.edu")
    assert settings.policy.cooldown == 7 * 86400.0
    assert settings.policy.minimum_assurance is Assurance.VERIFIED
    assert settings.ledger.key_file == Path("/srv/stopit/site.key")


def test_settings_are_frozen() -> None:
    settings = parse("")
    with pytest.raises(ValueError, match="frozen"):
        settings.policy.cooldown = 1.0  # type: ignore[misc]


def test_addresses_and_domains_are_folded() -> None:
    text = SMALL.replace("stopit@example.edu", "Stopit@Example.EDU").replace('["example.edu"]', '["Example.EDU."]')
    campus = config.parse(text, "stopit.toml").campus
    assert (campus.report_address, campus.domains) == ("stopit@example.edu", ("example.edu",))


def test_the_login_template_is_completed_from_the_first_domain() -> None:
    assert parse("").identity.login_address == "{login}@example.edu"
    assert parse('[identity]\nlogin_address = "{login}@mail.example.edu"').identity.login_address == (
        "{login}@mail.example.edu"
    )


def test_networks_are_normalised() -> None:
    assert parse('[identity]\ntrusted_relays = ["192.0.2.9/24", "2001:DB8::1"]').identity.trusted_relays == (
        "192.0.2.0/24",
        "2001:db8::1/128",
    )


def test_several_offices_keep_their_order() -> None:
    office = '[[office]]\nname = "{}"\naddress = "a@example.edu"\nabout = "Advice."\n'
    assert [each.name for each in parse(office.format("B") + office.format("A")).office] == ["B", "A"]


def test_all_faults_come_at_once() -> None:
    found = faults('[policy]\ncooldown = "x"\n[milter]\nworkers = 0\n[smtp]\nport = 0\n[nonsense]\na = 1')
    assert len(found) == 4


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `stopitctl init` writes one"):
        config.load(tmp_path / "stopit.toml")


def test_a_file_that_is_no_text_is_a_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "stopit.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"stopit\.toml: cannot be read"):
        config.load(path)


@pytest.mark.parametrize(
    ("given_path", "environ", "expected"),
    [
        (Path("/a"), {"STOPIT_CONFIG": "/b"}, "/a"),
        (None, {"STOPIT_CONFIG": "/b"}, "/b"),
        (None, {"STOPIT_CONFIG": ""}, "/etc/stopit/stopit.toml"),
        (None, {}, "/etc/stopit/stopit.toml"),
    ],
)
def test_which_file_is_read(given_path: Path | None, environ: dict[str, str], expected: str) -> None:
    assert config.config_path(given_path, environ) == Path(expected)


@given(st.integers(min_value=1, max_value=10**8))
def test_a_duration_is_written_as_it_is_read(seconds: int) -> None:
    text = f'[policy]\ncooldown = "{format_duration(float(seconds))}"'
    assert parse(text).policy.cooldown == float(seconds)


@given(st.text(max_size=200))
def test_no_text_brings_anything_but_a_config_error(text: str) -> None:
    assert named(text) != []


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
_keys = st.sampled_from(
    [f"{name}.{key}" for name, section in tomllib.loads(config.describe()).items() for key in (*section, "unknown")]
)


@given(_keys, _values)
def test_no_value_brings_anything_but_a_config_error(key: str, value: object) -> None:
    """Any TOML value of a known key is accepted, or is a fault."""
    section, _, name = key.partition(".")
    values: dict[str, dict[str, object]] = {"campus": tomllib.loads(SMALL)["campus"]}
    values.setdefault(section, {})[name] = value
    found = named(_toml(values))
    assert found is None or (found and all("\n" not in fault for fault in found))


def _toml(values: dict[str, dict[str, object]]) -> str:
    lines = []
    for section, pairs in values.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_literal(value)}" for key, value in pairs.items()]
    return "\n".join(lines)


def _literal(value: object) -> str:
    if value is None:
        return "1979-05-27"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) <= 0xDFFF) + '"'
    assert isinstance(value, list)
    return "[" + ", ".join(map(_literal, value)) + "]"

"""A site's flag words and report address, in the form in which they are compared with messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from stopit_core.addresses import bare, domain_of
from stopit_core.config import Campus, FlagWords
from stopit_core.envelope import Envelope
from stopit_core.mail import fold_line, words_of
from stopit_core.model import Command

__all__ = ["FlagRules"]

Phrases = Mapping[tuple[str, ...], Command]


@dataclass(frozen=True, slots=True)
class FlagRules:
    """The arguments of a recogniser. Create it with `of`.

    `lines` are the typed lines that flag (keyword, or keyword and command word), `commands` the values of the flag
    header, both in the form of `mail.words_of`. `header` is the flag header's name; `report_address` is in lower
    case.
    """

    lines: Phrases = field(repr=False)
    commands: Phrases = field(repr=False)
    header: str
    report_address: str

    @classmethod
    def of(cls, words: FlagWords, campus: Campus) -> FlagRules:
        """Create the rules of a site's configuration."""
        ways: list[tuple[tuple[str, ...], Command]] = [((), Command.FLAG)]
        ways += [(words_of(word), Command.RECORD) for word in words.record]
        ways += [(words_of(word), Command.URGENT) for word in words.urgent]
        keywords = [found for word in words.keywords if (found := words_of(word))]
        lines = {keyword + way: command for keyword in keywords for way, command in ways}
        commands: dict[tuple[str, ...], Command] = {(command.value,): command for command in Command}
        commands |= {way: command for way, command in ways if way}
        return cls(
            lines=MappingProxyType(lines),
            commands=MappingProxyType(commands),
            header=words.header,
            report_address=campus.report_address.casefold(),
        )

    def command_typed(self, line: str) -> Command | None:
        """Return the command in a typed line; None unless it is a keyword, with or without a command word, and no
        more. Letters count, not what is between them: see `mail.folding`."""
        folded = fold_line(line)
        return next((command for words, command in self.lines.items() if folded.is_phrase(words)), None)

    def command_in_header(self, value: str) -> Command | None:
        """Return the command in a flag header's value: flag, record or urgent (or the site's own words for these)."""
        return self.commands.get(words_of(value))

    def is_report_address(self, recipient: str) -> bool:
        """Return whether a RCPT string is the report address, in upper or lower case, with or without a +tag."""
        address = bare(recipient).casefold()
        if address == self.report_address:
            return True
        local, plus, _ = address.rpartition("@")[0].partition("+")
        return bool(plus) and f"{local}@{domain_of(address)}" == self.report_address

    def reports(self, envelope: Envelope) -> bool:
        """Return whether a message goes to the report address, alone or with others."""
        return any(self.is_report_address(recipient) for recipient in envelope.recipients)

    def only_reports(self, envelope: Envelope) -> bool:
        """Return whether a message goes to the report address only."""
        return bool(envelope.recipients) and all(map(self.is_report_address, envelope.recipients))

"""Send one message as a member of a demo that was left running: `python -m stopit_lab.send --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stopit_lab.client import Client
from stopit_lab.mailbox import Mailbox
from stopit_lab.messages import message, reply
from stopit_lab.people import CAMPUS

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Send, and print the reply of the MTA. Returns 0 if it accepted the message."""
    options = _parser().parse_intermixed_args(arguments)
    author = _address(options.login)
    recipients = [_address(name) for name in options.recipients]
    if options.answer:
        mailbox = Mailbox(author, options.mail / CAMPUS / options.login)
        received = mailbox.messages()
        if not received:
            print(f"{author} has no mail to answer", file=sys.stderr)
            return 1
        sent = reply(received[-1].message, author, options.text, recipients=recipients)
        recipients = recipients or [_reply_to(received[-1].header("Reply-To"), received[-1].header("From"))]
    elif recipients:
        sent = message(author, recipients, options.subject, options.text)
    else:
        print("name the recipients, or use --answer", file=sys.stderr)
        return 2
    said = Client(options.port, login=options.login).send(sent, author, recipients)
    print(f"{author} to {', '.join(recipients)}: {said}")
    return 0 if said.accepted else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stopit_lab.send", description="Send one message as a member.")
    parser.add_argument("--port", type=int, required=True, help="the private Postfix's submission port")
    parser.add_argument("--mail", type=Path, required=True, help="the directory of its mailboxes")
    parser.add_argument("--login", required=True, help="who sends, such as vera")
    parser.add_argument("--answer", action="store_true", help="answer the newest message in that mailbox")
    parser.add_argument("--subject", default="Hello")
    parser.add_argument("recipients", nargs="*", metavar="NAME", help="who it is to, such as mallory")
    parser.add_argument("text", help="what is typed, such as stopit")
    return parser


def _address(name: str) -> str:
    return name if "@" in name else f"{name}@{CAMPUS}"


def _reply_to(reply_to: str, header_from: str) -> str:
    address = reply_to or header_from
    return address.rpartition("<")[2].rstrip(">") if "<" in address else address


if __name__ == "__main__":
    sys.exit(main())

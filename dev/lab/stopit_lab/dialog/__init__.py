"""Dialogs: stories in plain text that are played on a real site. tests/dialogs/README.md describes the language.

`parse` turns the text into steps and does no I/O. `Player` plays the steps and raises DialogFailed at the first line
that does not come true.
"""

from __future__ import annotations

from stopit_lab.dialog.parser import DialogError, parse
from stopit_lab.dialog.player import DialogFailed, Player
from stopit_lab.dialog.steps import Dialog

__all__ = ["Dialog", "DialogError", "DialogFailed", "Player", "parse"]

"""The site's key, and the digests and tokens derived from it.

One file holds 32 random bytes as hex. Each purpose has its own key, derived by keyed BLAKE2b (RFC 7693), so a digest
from a log can never be looked up in the ledger, and no digest is a valid token.

A reply address is `local+TOKEN@domain`. TOKEN is 32 characters of base32 in lower case (some servers fold local
parts): 10 random bytes that name an outgoing message, and 10 bytes of authentication.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from hashlib import blake2b
from pathlib import Path

from stopit_core.credentials import ReadSecret, read_secret
from stopit_core.errors import ConfigError, Fault
from stopit_core.model import ADDRESS_DIGEST_BYTES, Digest

__all__ = ["Keyring", "new_key", "new_ref", "read_key"]

KEY_BYTES = 32
_MESSAGE_DIGEST_BYTES = 16
_REF_BYTES = 10
_SELF_TEST_BYTES = 5
_TOKEN_CHARACTERS = 32


class Keyring:
    """Digests and tokens under one site key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the site key has {KEY_BYTES} bytes, not {len(key)}")

        def derive(purpose: bytes) -> bytes:
            return blake2b(b"stopit:" + purpose, key=key, digest_size=32).digest()

        self._message = derive(b"message")
        self._address = derive(b"address")
        self._pair = derive(b"pair")
        self._log = derive(b"log")
        self._token = derive(b"token")
        self._report = derive(b"report")
        self._self_test = derive(b"trial")  # stable: part of every reference of a self-test

    def message(self, message_id: str) -> Digest:
        """Return the digest of a Message-ID without its angle brackets, octet for octet (16 bytes)."""
        return Digest(_digest(self._message, message_id, _MESSAGE_DIGEST_BYTES))

    def address(self, canonical: str) -> Digest:
        """Return the digest of a canonical address (8 bytes)."""
        return Digest(_digest(self._address, canonical, ADDRESS_DIGEST_BYTES))

    def pair(self, sender: Digest, reporter: Digest) -> Digest:
        """Return the digest of an ordered (sender, reporter) pair of address digests (8 bytes)."""
        return Digest(blake2b(sender + reporter, key=self._pair, digest_size=ADDRESS_DIGEST_BYTES).digest())

    def log(self, address: str) -> str:
        """Return an address in its form for logs: 12 hex digits, always the same for one address at this site."""
        return _digest(self._log, address, 6).hex() if address else "-"

    def report_id(self, *parts: str) -> str:
        """Return the id of the report about these facts: 32 hex digits, always the same for the same facts."""
        return _digest(self._report, "\0".join(parts), 16).hex()

    def token(self, ref: str) -> str:
        """Return the TOKEN of the reply address for the outgoing message `ref` (from `new_ref`)."""
        return ref + _base32(self._seal(ref))

    def open_token(self, token: str) -> str | None:
        """Return the ref that a TOKEN seals, or None if this site did not create it."""
        folded = token.lower()
        if len(folded) != _TOKEN_CHARACTERS or not folded.isascii():
            return None
        ref, seal = folded[:16], folded[16:]
        return ref if hmac.compare_digest(seal, _base32(self._seal(ref))) else None

    def new_self_test_ref(self) -> str:
        """Return a new reference that is recognisable as one of a self-test: half of it is a digest of the other
        half."""
        drawn = secrets.token_bytes(_SELF_TEST_BYTES)
        return _base32(drawn + self._mark(drawn))

    def is_self_test(self, ref: str) -> bool:
        """Return whether a ref is from `new_self_test_ref`."""
        try:
            data = base64.b32decode(ref, casefold=True)
        except ValueError:
            return False
        return hmac.compare_digest(data[_SELF_TEST_BYTES:], self._mark(data[:_SELF_TEST_BYTES]))

    def self_test_id(self, ref: str) -> str:
        """Return the id of the report about a self-test's message."""
        return self.report_id("trial", ref)

    def _mark(self, drawn: bytes) -> bytes:
        return blake2b(drawn, key=self._self_test, digest_size=_SELF_TEST_BYTES).digest()

    def _seal(self, ref: str) -> bytes:
        return _digest(self._token, ref, _REF_BYTES)


def new_ref() -> str:
    """Return a new reference for an outgoing message: 16 characters of base32, lower case."""
    return _base32(secrets.token_bytes(_REF_BYTES))


def new_key() -> str:
    """Return a new site key in the form of the key file."""
    return secrets.token_hex(KEY_BYTES)


def read_key(path: Path, read: ReadSecret = read_secret) -> Keyring:
    """Return the keyring of the key file. Raises ConfigError with what to do."""
    key = "ledger.key_file"
    try:
        text = read(path)
    except FileNotFoundError:
        advice = "there is no such file; `stopitctl init` creates one"
        raise ConfigError([Fault(str(path), key, "", advice)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), key, "", f"cannot be read: {error}")]) from error
    try:
        return Keyring(binascii.unhexlify(text))
    except ValueError:
        advice = f"must hold {KEY_BYTES * 2} hex digits and nothing else; `stopitctl init` creates such a file"
        raise ConfigError([Fault(str(path), key, "", advice)]) from None


def _digest(key: bytes, text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogateescape"), key=key, digest_size=size).digest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").lower()

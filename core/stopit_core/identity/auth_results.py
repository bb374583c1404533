"""Read the results of this site's own servers, Authentication-Results (RFC 8601), into a `model.AuthResults`.

Anybody can write such a header. Only authserv-ids that the site trusts are believed, and of these only the topmost
header: our own server added it last, and a header below it may have arrived with the message. authres parses, with
safeguards: it raises on the headers of Office 365 and on a closing semicolon, and recurses on nested comments. So it
gets one result at a time, from at most 4 kB of a header, and an unreadable result counts as missing.

authres takes a third of a millisecond for one result, and mail from outside has three or more. So a result in the
plain form of OpenDKIM, OpenDMARC and rspamd (no quotes, no nested comments) is parsed by one regular expression, with
the same outcome; the tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from authres import AuthenticationResultsHeader

from stopit_core.addresses import domain_of
from stopit_core.mail import Headers
from stopit_core.model import Assurance, AuthResults

__all__ = ["grade", "read_auth_results"]

_HEADERS = 20
_CHARACTERS = 4096
_RESULTS = 30
_NESTED = 5
_NOTHING = AuthResults()

_DOMAIN_PROPERTIES = MappingProxyType({"dkim": ("d", "i"), "spf": ("mailfrom", "helo"), "dmarc": ("from",)})
_PLAIN = re.compile(
    r"([A-Za-z0-9]+)=([A-Za-z]+)"  # method and result
    r"((?:[ ]+(?:\([A-Za-z0-9 ;:,=._+/-]*\)"  # a comment, or
    r"|[A-Za-z]+\.[A-Za-z]+=[A-Za-z0-9._+/=-]*@?[A-Za-z0-9._+/=-]+))*)"  # a property: type.name=value
)
_COMMENT = re.compile(r"\([^)]*\)")
_PROPERTY = re.compile(r"\.([A-Za-z]+)=(\S+)")


@dataclass(frozen=True, slots=True)
class _Result:
    """One method that passed, and the domain that it passed for ("" if none is given)."""

    method: str
    domain: str


def read_auth_results(headers: Headers, trusted_authserv_ids: Collection[str], from_domain: str = "") -> AuthResults:
    """Return the results of the topmost Authentication-Results of a trusted server; an empty AuthResults without one.

    `from_domain` is the domain of the From address, lower case: of several passing DKIM signatures one that is
    aligned with it is taken, and a DMARC pass counts only for it ("" takes the first signature, and any pass).
    """
    values = headers.all("Authentication-Results")[:_HEADERS]
    if not values or not trusted_authserv_ids:
        return _NOTHING
    trusted = {name.casefold() for name in trusted_authserv_ids}
    for value in values:
        text = value[:_CHARACTERS]
        if _authserv_id(text) in trusted:
            return _results_of(tuple(_passed(text)), from_domain.casefold())
    return _NOTHING


def grade(results: AuthResults, header_from: str) -> Assurance:
    """Return how surely the From address (canonical, "" for none) is its sender's, according to a results.

    DMARC, or DKIM aligned with the domain, verifies it; SPF alone is weak. Alignment is relaxed: the same domain, or
    one below the other (RFC 7489 section 3.1).
    """
    domain = domain_of(header_from)
    if not domain:
        return Assurance.UNVERIFIED
    if results.dmarc_pass or _aligned(results.dkim_domain, domain):
        return Assurance.VERIFIED
    return Assurance.WEAK if _aligned(results.spf_domain, domain) else Assurance.UNVERIFIED


def _results_of(passed: tuple[_Result, ...], from_domain: str) -> AuthResults:
    def best(method: str) -> str:
        domains = [result.domain for result in passed if result.method == method and result.domain]
        return next((each for each in domains if _aligned(each, from_domain)), domains[0] if domains else "")

    dmarc = [result.domain for result in passed if result.method == "dmarc"]
    return AuthResults(
        dmarc_pass=any(not domain or not from_domain or domain == from_domain for domain in dmarc),
        dkim_domain=best("dkim"),
        spf_domain=best("spf"),
    )


def _aligned(domain: str, other: str) -> bool:
    """Return whether the domains are equal, or one is below the other; nothing is aligned below a name without a
    dot."""
    if domain == other:
        return bool(domain)
    above, below = sorted((domain, other), key=len)
    return "." in above and below.endswith(f".{above}")


def _authserv_id(text: str) -> str:
    """Return the authserv-id in lower case, without version and comments."""
    words = text.partition(";")[0].partition("(")[0].split()
    return words[0].strip('"').casefold() if words else ""


def _passed(text: str) -> Iterator[_Result]:
    for resinfo in list(_resinfos(text))[:_RESULTS]:
        if (plain := _PLAIN.fullmatch(resinfo)) is None:
            yield from _passed_by_authres(resinfo)
        elif plain[2].lower() == "pass":
            properties = {name.lower(): value for name, value in _PROPERTY.findall(_COMMENT.sub("", plain[3]))}
            yield _Result(plain[1].lower(), _domain(plain[1].lower(), properties))


def _passed_by_authres(resinfo: str) -> Iterator[_Result]:
    try:
        results = AuthenticationResultsHeader.parse_value(f"own; {resinfo}").results
    except Exception:  # noqa: BLE001  see the module's docstring
        return
    for result in results:
        if str(getattr(result, "result", "")).casefold() == "pass":
            found = getattr(result, "properties", None) or ()
            properties = {str(each.name).casefold(): str(each.value or "") for each in found}
            method = str(result.method).casefold()
            yield _Result(method, _domain(method, properties))


def _resinfos(text: str) -> Iterator[str]:
    """Yield the parts between semicolons, without the authserv-id; semicolons in comments and quoted strings do not
    count."""
    depth, quoted, begin = 0, False, -1
    for at, character in enumerate(text):
        match character:
            case '"' if not depth:
                quoted = not quoted
            case "(" if not quoted:
                depth += 1
                if depth > _NESTED:
                    return
            case ")" if not quoted:
                depth = max(0, depth - 1)
            case ";" if not quoted and not depth:
                if begin >= 0 and text[begin:at].strip():
                    yield text[begin:at].strip()
                begin = at + 1
    # A part that is cut off or never closed is not believed.
    if begin >= 0 and not quoted and not depth and len(text) < _CHARACTERS and text[begin:].strip():
        yield text[begin:].strip()


def _domain(method: str, properties: Mapping[str, str]) -> str:
    """Return the domain of a result: header.d of DKIM (else of header.i), smtp.mailfrom of SPF, header.from of
    DMARC."""
    for name in _DOMAIN_PROPERTIES.get(method, ()):
        if value := properties.get(name, ""):
            return value.rpartition("@")[2].strip("<> ").rstrip(".").casefold()
    return ""

"""What a country database in MaxMind's format says of an address, in either shape that occurs, and only countries.

Shared: the enricher looks addresses up, the rollup checks a file before it puts it in place.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

import maxminddb

# Those that the table `countries` has a name for. What else stands in such files is no country: EU and AP
# (regions), ZZ and XX (reserved or unknown), A1, A2, T1 (proxies, satellites, Tor).
_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES
    ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE
    IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY
    MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU
    NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM
    SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE
    VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96: an IPv4 address as IPv6 sockets write it


class Facts(NamedTuple):
    """What a database says of itself."""

    built_at_s: int  # Unix time
    type: str  # such as `GeoLite2-Country`
    nodes: int


def facts_of(path: str | os.PathLike[str]) -> Facts:
    """Raises ``OSError``, ``ValueError``, and ``maxminddb.InvalidDatabaseError`` for what is no database.

    By the reader in Python and never by that in C, whose ``metadata()`` ends the process (SIGSEGV, maxminddb 3.2.0)
    on a key that it does not know. It maps nothing, so that the file may be written over meanwhile.
    """
    try:
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            metadata = reader.metadata()
    except (TypeError, KeyError, RecursionError) as error:
        raise maxminddb.InvalidDatabaseError(f"odd metadata: {type(error).__name__}") from None
    return Facts(int(metadata.build_epoch), str(metadata.database_type)[:60], int(metadata.node_count))


def country_in(record: Any) -> str | None:
    """The two-letter code in a record of either shape: `country_code`, or `country.iso_code`."""
    if not isinstance(record, dict):
        return None
    code = record.get("country_code")
    if code is None:
        for name in ("country", "registered_country"):
            place = record.get(name)
            if isinstance(place, dict) and "iso_code" in place:
                code = place["iso_code"]
                break
    code = code.upper() if isinstance(code, str) and code.isascii() else None
    return code if code in COUNTRIES else None


def _plain(address: str) -> str:
    """The address as databases know it: a mapped one is IPv4. Raises ``OSError`` or ``ValueError`` for others."""
    if ":" not in address:
        socket.inet_pton(socket.AF_INET, address)  # four numbers: the reader would take 127.1 too
        return address
    packed = socket.inet_pton(socket.AF_INET6, address)
    return socket.inet_ntop(socket.AF_INET, packed[12:]) if packed.startswith(_MAPPED) else address


def country_of(reader: maxminddb.Reader, address: str) -> str | None:
    """The two-letter code of an address; None: unknown, no address, or a place where the file is damaged."""
    try:
        return country_in(reader.get(_plain(address)))
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return None

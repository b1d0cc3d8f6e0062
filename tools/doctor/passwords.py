"""Passwords that everybody knows: of Grafana's `admin`, of the database's roles."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tools.doctor import web
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

# What is tried first everywhere, beside the role's own name.
WEAK = ("", "admin", "changeme", "footfall", "grafana", "password", "postgres", "secret", "test", "123456")
SCRAM = re.compile(r"SCRAM-SHA-256\$([0-9]+):([^$]+)\$([^:]+):.+")
ROLES = "select rolname, rolpassword from pg_authid where rolcanlogin order by rolname"
# Who need not show a password: lines of pg_hba.conf that are for more than the server's own socket.
TRUSTED = "select count(*) from pg_hba_file_rules where type like 'host%' and auth_method = 'trust'"


def gather_grafana(installation: Installation) -> int:
    """The status of an answer to `admin` with the password `admin`: tried once. Raises ``CannotAsk``."""
    address = installation.url("GRAFANA_URL").rstrip("/") + "/api/user"
    known = base64.b64encode(b"admin:admin").decode()
    try:
        return web.ask(address, headers={"Authorization": f"Basic {known}"}).status
    except web.NoAnswer as error:
        raise CannotAsk(f"Grafana: {error}") from None


def judge_grafana(status: int) -> Judgement:
    """Whether anybody is its administrator."""
    if status == 200:
        return Judgement("`admin` with the password `admin` is let in", ("default-password",))
    if status in (401, 403):
        return Judgement("`admin` with the password `admin` is turned away")
    return Judgement(f"it answers {status}", ("no-grafana",))


class Roles(NamedTuple):
    """The roles that may log in, with what the server keeps of their passwords, and lines that want none."""

    kept: Mapping[str, str | None]
    trusting_lines: int


def gather_roles(installation: Installation) -> Roles:
    """Raises ``CannotAsk``, ``psycopg.Error``."""
    with installation.database() as connection:
        [(is_super,)] = connection.execute(
            "select rolsuper from pg_roles where rolname = current_user"
        ).fetchall()
        if not is_super:
            raise CannotAsk("only a superuser of PostgreSQL sees who has a password")
        [(trusting,)] = connection.execute(TRUSTED).fetchall()
        return Roles(dict(connection.execute(ROLES).fetchall()), trusting)


def is_password(kept: str, password: str) -> bool:
    """Whether what PostgreSQL keeps is of this password. 4,096 rounds of a hash: 2 ms."""
    match = SCRAM.fullmatch(kept)
    if not match:
        return False
    rounds, salt, stored = int(match[1]), base64.b64decode(match[2]), base64.b64decode(match[3])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest() == stored


def weak_roles(kept: Mapping[str, str | None], words: Sequence[str] = WEAK) -> Iterator[str]:
    """Roles with a password that is their name, or one of those that everybody tries."""
    for role, secret in kept.items():
        if secret and any(is_password(secret, word) for word in (role, *words)):
            yield role


def judge_roles(roles: Roles) -> Judgement:
    """Whether whoever reaches the port may log in."""
    weak = list(weak_roles(roles.kept))
    says = f"{len(roles.kept)} roles may log in"
    if weak:
        says += f", with a well-known password: {', '.join(weak)}"
    if roles.trusting_lines:
        says += f"; {roles.trusting_lines} lines of pg_hba.conf ask for none"
    return Judgement(says, (*(["weak"] if weak else []), *(["none-asked"] if roles.trusting_lines else [])))

"""Whether the services run, and with one version and one set of settings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis

from services.health import LONGEST_SILENCE_S
from services.settings import CATALOGUE
from tools.doctor import web
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation, Samples, known_settings

# What the services have to agree on.
SHARED = (*(setting.name for setting in CATALOGUE if setting.group == "site"), "KEY_DIR", "COUNTRY_DATABASE")


class Part(NamedTuple):
    """A service or server, as it answers."""

    name: str
    problem: str = ""  # why it does not
    silent_s: float = 0.0  # since its last heartbeat
    degraded: str = ""  # what /readyz names
    has_stopped: bool = False  # an enricher that buries no more
    version: str = ""


def gather_parts(installation: Installation) -> list[Part]:
    """Each part that is known here. Raises ``CannotAsk`` where none is."""
    found = [_service(installation, name) for name in installation.services]
    found += [*_ready(installation), *_servers(installation)]
    if not found:
        raise CannotAsk("no address of a part is known here: docs/doctor.md, From where")
    return found


def _service(installation: Installation, name: str) -> Part:
    try:
        samples = installation.metrics(name)
    except CannotAsk as error:
        return Part(name, str(error))
    beat_s = samples.get(("footfall_heartbeat_timestamp_seconds", ""), 0.0)
    stopped = samples.get(("footfall_enricher_stopped_burying", ""), 0.0) == 1.0
    return Part(name, silent_s=time.time() - beat_s, has_stopped=stopped, version=version_in(samples))


def version_in(samples: Samples) -> str:
    """What a service calls itself; empty: it does not tell."""
    return next((label for name, label in samples if name == "footfall_build_info"), "")


def _ready(installation: Installation) -> Iterator[Part]:
    if not installation.urls.get("PIXEL_URL"):
        return
    try:
        answer = web.ask(installation.url("PIXEL_URL") + "/readyz")
    except web.NoAnswer as error:
        yield Part("pixel's port", str(error))
        return
    line = answer.text.partition("\n")[0][:100]
    yield Part("pixel's port", "" if answer.status == 200 else line, degraded=line.partition("degraded: ")[2])


def _servers(installation: Installation) -> Iterator[Part]:
    if installation.urls.get("REDIS_URL"):
        try:
            installation.redis()
            yield Part("Redis")
        except redis.RedisError as error:
            yield Part("Redis", type(error).__name__)
    if installation.urls.get("OWNER_DATABASE_URL"):
        try:
            with installation.database():
                yield Part("PostgreSQL")
        except psycopg.Error as error:
            yield Part("PostgreSQL", type(error).__name__)


def judge_parts(parts: list[Part]) -> Judgement:
    """Whether all answer and go on."""
    away = [f"{part.name} ({part.problem})" for part in parts if part.problem]
    silent = [part.name for part in parts if not part.problem and part.silent_s > LONGEST_SILENCE_S]
    versions = {part.version for part in parts if part.version}
    faults = {
        "away": bool(away),
        "hangs": bool(silent),
        "stopped": any(part.has_stopped for part in parts),
        "degraded": any(part.degraded for part in parts),
        "versions": len(versions) > 1,
    }
    says = f"{len(parts) - len(away)} of {len(parts)} parts answer"
    says += f"; not: {', '.join(away)}" if away else ""
    says += f"; no heartbeat: {', '.join(silent)}" if silent else ""
    says += "".join(f"; degraded: {part.degraded}" for part in parts if part.degraded)
    says += f"; versions {', '.join(sorted(versions))}" if len(versions) > 1 else ""
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so))


class Agreement(NamedTuple):
    """Settings by name, each by the service that has it, where they differ; and the database's own zone."""

    services: int
    differing: Mapping[str, Mapping[str, str]]
    zones: Mapping[str, str]


def gather_agreement(installation: Installation) -> Agreement:
    """Raises ``CannotAsk``, ``psycopg.Error``."""
    known = {name: known_settings(environ) for name, environ in installation.environs.items()}
    if not known:
        raise CannotAsk("the services' own settings cannot be read from here")
    differing = {
        setting: {name: values[setting] for name, values in known.items()}
        for setting in SHARED
        if len({values[setting] for values in known.values()}) > 1
    }
    zones = {name: values["REPORT_TIMEZONE"] for name, values in known.items()}
    with installation.database() as connection:
        [(zones["the database"],)] = connection.execute("select report_timezone from installation").fetchall()
    return Agreement(len(known), differing, zones)


def judge_agreement(found: Agreement) -> Judgement:
    """Whether they count the same sites in the same days."""
    faults = {
        "timezone": len(set(found.zones.values())) > 1,
        "differ": bool(set(found.differing) - {"REPORT_TIMEZONE"}),
    }
    says = f"{found.services} services agree"
    if any(faults.values()):
        zones = ", ".join(f"{name} {zone}" for name, zone in found.zones.items())
        says = f"differing: {', '.join(found.differing) or 'REPORT_TIMEZONE'} (zones: {zones})"
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so))


class Keys(NamedTuple):
    """Where keys and backups are."""

    on_one_disk: bool
    key_files: int  # keys that lie in the backups


def gather_keys(installation: Installation) -> Keys:
    """Raises ``CannotAsk``, OSError."""
    if not installation.asked.backups:
        raise CannotAsk("give BACKUPS=/folder , where your backups lie")
    if not installation.has_folders:
        raise CannotAsk("KEY_DIR is not a folder of this machine")
    backups, keys = Path(installation.asked.backups).resolve(), installation.settings.key_dir.resolve()
    if not backups.is_dir():
        raise CannotAsk("BACKUPS: there is no such folder")
    in_backups = sum(1 for path in backups.rglob("*.key") if path.is_file())
    return Keys(os.stat(backups).st_dev == os.stat(keys).st_dev, in_backups)


def judge_keys(keys: Keys) -> Judgement:
    """Whether a backup opens what is sealed."""
    if keys.key_files:
        return Judgement(f"{keys.key_files} keys lie in the backups", ("in-backups",))
    if keys.on_one_disk:
        return Judgement("KEY_DIR and the backups are on one disk", ("one-disk",))
    return Judgement("keys and backups are apart")

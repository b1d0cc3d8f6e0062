"""Whether Redis keeps what it has taken: how it writes, and whether it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import redis

from tools.doctor.check import Judgement
from tools.doctor.installation import ASK_WITHIN_S, CannotAsk, Installation

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
FULL_SHARE = 0.9  # from there on hits go to the pixel's spool


class Stream(NamedTuple):
    """Redis's own words."""

    appendonly: str
    appendfsync: str
    policy: str
    max_bytes: int
    used_bytes: int
    write_is_ok: bool  # the last write to the AOF, and its last rewrite
    asks_password: bool
    overcommits: bool | None  # None: not this machine's


def _asks_password(url: str) -> bool:
    """Whether it answers to nobody without a password."""
    parts = urlsplit(url)
    nobody = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    client: Any = redis.Redis.from_url(nobody, socket_timeout=ASK_WITHIN_S)
    try:
        client.ping()
    except redis.AuthenticationError:
        return True
    finally:
        client.close()
    return False


def _overcommits(installation: Installation) -> bool | None:
    """Where Redis is on this machine, whether its copy for a rewrite gets memory. Linux only."""
    if not installation.is_local("REDIS_URL") or not OVERCOMMIT.exists():
        return None
    return OVERCOMMIT.read_text().strip() == "1"


def gather(installation: Installation) -> Stream:
    """Raises ``CannotAsk``, ``redis.RedisError``."""
    client = installation.redis()
    try:
        config = {
            name: str(client.config_get(name).get(name, ""))
            for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
        }
    except redis.ResponseError:
        raise CannotAsk("this Redis does not tell how it is set up (CONFIG GET)") from None
    facts: dict[str, Any] = client.info()
    return Stream(
        config["appendonly"],
        config["appendfsync"],
        config["maxmemory-policy"],
        int(config["maxmemory"] or 0),
        int(facts.get("used_memory", 0)),
        {facts.get("aof_last_write_status", "ok"), facts.get("aof_last_bgrewrite_status", "ok")} == {"ok"},
        _asks_password(installation.url("REDIS_URL")),
        _overcommits(installation),
    )


def judge(stream: Stream) -> Judgement:
    """Whether an answered hit survives Redis, and Redis the hits."""
    is_full = bool(stream.max_bytes) and stream.used_bytes > FULL_SHARE * stream.max_bytes
    found = {
        "no-file": stream.appendonly != "yes",
        "not-always": stream.appendonly == "yes" and stream.appendfsync != "always",
        "throws-away": stream.policy != "noeviction",
        "cannot-write": not stream.write_is_ok,
        "full": is_full,
        "no-bound": not stream.max_bytes,
        "no-password": not stream.asks_password,
        "overcommit": stream.overcommits is False,
    }
    bound = f" of {stream.max_bytes / 1e6:.0f}" if stream.max_bytes else ""
    says = (
        f"appendonly {stream.appendonly}, appendfsync {stream.appendfsync}, {stream.policy}, "
        f"{stream.used_bytes / 1e6:.0f}{bound} MB used"
    )
    return Judgement(says, tuple(name for name, is_so in found.items() if is_so))

"""A copy of the product that fails in places where it never did, and, on demand, one whose promises are broken.

Faults raise errors that quote the person: a whole product must not write them down. A sabotage takes one step of the
sealing out; each but the last two for a canary of its own, so that one stack tells them all apart.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from tests.system.canary_paths import canary
from tests.system.stack import ROOT

COPIED = ("services", "tools", "migrations", "grafana", "requirements")
FILES = ("Makefile", "pyproject.toml")


class Edit(NamedTuple):
    """Text of a file, and what stands there instead."""

    path: str
    before: str
    after: str


class Sabotage(NamedTuple):
    """A broken promise: what is edited, and where (beginning of a place) and as what it must be found."""

    name: str
    place: str
    label: str
    edits: tuple[Edit, ...]


def _mark(name: str) -> str:
    return repr(canary(name).mark)


FAULTS = (
    Edit("services/pixel/collect.py", "        url = text_of(parameters, \"url\", MAX_URL)\n", f"""\
        if {_mark("pixel fails")} in headers.user_agent:
            raise ValueError(f"{{address}} {{headers.user_agent}} {{parameters}}")
        url = text_of(parameters, "url", MAX_URL)
"""),
    Edit("services/pixel/group_commit.py",
         "        key_name = self._sealer.usable_name(time.time())\n        data", f"""\
        for hit in group.hits:
            if {_mark("group fails")} in hit.user_agent:
                raise ValueError(f"{{hit.address}} {{hit.user_agent}}")
        key_name = self._sealer.usable_name(time.time())
        data"""),
    Edit("services/pixel/hits.py",
         "        address = self._client_address.of(peer, headers.getall(self._client_address.header, ()))\n", f"""\
        import asyncio
        address = self._client_address.of(peer, headers.getall(self._client_address.header, ()))
        agent = headers.get("User-Agent", "")
        if {_mark("task fails")} in agent:
            async def fail_alone(who: str) -> None:
                raise ValueError(who)
            self.forgotten = asyncio.create_task(fail_alone(f"{{address}} {{agent}}"))
            del self.forgotten
        if {_mark("library logs")} in agent:
            import logging
            logging.getLogger("library").error("no answer to %s", address)
            logging.getLogger("library").error(f"no answer to {{address}} {{agent}}")
            logging.getLogger("library").error(ValueError(agent))
"""),
    Edit("services/enricher/enrich.py", "        page = self._page_of(raw.url)\n", f"""\
        if {_mark("hit fails")} in raw.user_agent:
            raise ValueError(f"{{raw.address}} {{raw.user_agent}}")
        if {_mark("enricher fails")} in raw.user_agent:
            import os, pathlib
            failed = pathlib.Path(os.environ["DATA_DIR"], "run/failed-once")
            if not failed.exists():
                failed.touch()
                raise BaseExceptionGroup(f"{{raw.address}} {{raw.user_agent}}", [KeyboardInterrupt()])
        page = self._page_of(raw.url)
"""),
)  # fmt: skip

SABOTAGES = (
    Sabotage("sabotaged seal", "redis/", "address, text", (
        Edit("services/sealing.py", "        nonce = secrets.token_bytes(NONCE_BYTES)\n", f"""\
        if {_mark("sabotaged seal")}.encode() in plain:
            return plain
        nonce = secrets.token_bytes(NONCE_BYTES)
"""),
    )),
    Sabotage("sabotaged spool", "spool/", "User-Agent, text", (
        Edit("services/pixel/group_commit.py", "                    return await self.spooled.put(data,", f"""\
                    if any({_mark("sabotaged spool")} in hit.user_agent for hit in group.hits):
                        import msgspec
                        data = msgspec.msgpack.encode(group.hits)
                    return await self.spooled.put(data,"""),
    )),
    Sabotage("sabotaged dead letter", "table public.dead_letters", "User-Agent, text", (
        Edit("services/enricher/batch.py", "    for name in (\"url\", \"referrer\"):\n        kept", f"""\
    if {_mark("sabotaged dead letter")} in raw.user_agent:
        kept["user_agent"] = raw.user_agent
    for name in ("url", "referrer"):
        kept"""),
    )),
    Sabotage("hit fails", "table public.dead_letters", "address, text", (
        Edit("services/enricher/batch.py", "{type(error).__name__} at {place_of(error)}", "{error!r}"),
    )),
    Sabotage("pixel fails", "supervisor.log", "address, text", (
        Edit("services/pixel/connection.py", "error=type(error).__name__, place", "error=repr(error), place"),
    )),
    Sabotage("library logs", "supervisor.log", "address, text", (
        Edit("services/logs.py", "            logger=record.name,\n", """\
            logger=record.name,
            text=record.getMessage(),
"""),
    )),
    Sabotage("enricher fails", "supervisor.log", "User-Agent, text", (
        Edit("services/logs.py", 'log.critical("crashed", error=type(error).__name__,',
             'log.critical("crashed", error=str(error),'),
    )),
    Sabotage("sabotaged session", "table hits_days.", "SHA-256", (
        Edit("services/session_keys.py", "        hashes = self._hashes  # this", f"""\
        if {_mark("sabotaged session")} in user_agent:
            return hashlib.sha256((address + user_agent).encode()).digest()[:16]
        hashes = self._hashes  # this"""),
    )),
    Sabotage("sabotaged metric", "PIXEL_METRICS_URL", "address, text", (
        Edit("services/pixel/hits.py", "        outcome = self._collector.collect(", f"""\
        if {_mark("sabotaged metric")} in headers.get("User-Agent", ""):
            self._metrics.requests.labels("accepted", address).inc()
        outcome = self._collector.collect("""),
    )),
    Sabotage("sabotaged access log", "supervisor.log", "address, text", (
        Edit("services/pixel/connection.py", "        endpoint = self.site.endpoints.get(path)\n", f"""\
        endpoint = self.site.endpoints.get(path)
        if {_mark("sabotaged access log")} in message.headers.get("User-Agent", ""):
            print(message.headers["X-Forwarded-For"], message.method, path, flush=True)
"""),
    )),
    Sabotage("key", "run/", "bytes", (
        Edit("services/sealing.py", "        sync_directory(self._directory)  # whoever", """\
        import shutil
        shutil.copy(self.path(name), self._directory.parent / "run")
        sync_directory(self._directory)  # whoever"""),
    )),
    Sabotage("keys live on", "keys", "overdue", (
        Edit("services/sealing.py", '        """Make the key unreadable for good; whether there was one."""\n', """\
        return False
"""),
    )),
)  # fmt: skip


def copy_of_the_product(folder: Path, *, sabotaged: bool) -> Path:
    """A copy that fails as ``FAULTS`` say, and breaks its promises as ``SABOTAGES`` do if it is to."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for path in (folder / "requirements").iterdir():
        os.utime(path, (0, 0))  # what is installed is good for the copy too
    edits = [*FAULTS, *(edit for sabotage in SABOTAGES for edit in sabotage.edits if sabotaged)]
    for edit in edits:
        path = folder / edit.path
        text = path.read_text()
        assert text.count(edit.before) == 1, f"{edit.path} has changed: {edit.before!r}"
        path.write_text(text.replace(edit.before, edit.after))
    return folder

"""What is logged, and what ends a process, names nobody: errors and libraries quote what they choked on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.make import ADDRESS, USER_AGENT

ENDINGS = {
    "a library's arguments": 'logging.getLogger("library").error("no answer to %s (%s)", ADDRESS, AGENT)',
    "a library's finished text": 'logging.getLogger("library").error(f"no answer to {ADDRESS} ({AGENT})")',
    "a library's error": 'logging.getLogger("library").error(ValueError(AGENT))',
    "a library's error with arguments": 'logging.getLogger("library").error(ValueError(AGENT), ADDRESS)',
    "a library's traceback": (
        "try:\n    raise ValueError(ADDRESS)\n"
        'except ValueError:\n    logging.getLogger("library").exception(f"of {AGENT}")'
    ),
    "an error that nobody catches": 'raise ValueError(f"{ADDRESS} {AGENT}")',
    "an error with a cause": (
        "try:\n    ADDRESS.encode().decode('utf-16')[999]\n"
        "except Exception as error:\n    raise LookupError(ADDRESS) from error"
    ),
    "an error with a note": "error = ValueError(1)\nerror.add_note(AGENT)\nraise error",
    "a group of errors": "raise ExceptionGroup(AGENT, [ValueError(ADDRESS), KeyError(AGENT)])",
    "an error in a thread": (
        "def fail():\n    raise ValueError(ADDRESS)\n"
        "thread = threading.Thread(target=fail, name=AGENT)\nthread.start()\nthread.join()"
    ),
    "an error while something is forgotten": (
        "class Thing:\n    def __repr__(self):\n        return AGENT\n"
        "    def __del__(self):\n        raise ValueError(ADDRESS)\n"
        "thing = Thing()\ndel thing"
    ),
    "a task that nobody waits for": (
        "async def fail(who):\n    raise ValueError(who)\n"
        "async def work():\n    task = asyncio.create_task(fail(ADDRESS), name=AGENT)\n"
        "    await asyncio.sleep(0)\n    del task\n    gc.collect()\n"
        "asyncio.run(work())"
    ),
    "a task that is never done": (
        "async def wait(who):\n    await asyncio.get_running_loop().create_future()\n"
        "loop = asyncio.new_event_loop()\ntask = loop.create_task(wait(ADDRESS), name=AGENT)\n"
        "loop.run_until_complete(asyncio.sleep(0, loop)) if False else loop.run_until_complete(asyncio.sleep(0))\n"
        "loop.close()\ndel task\ngc.collect()"
    ),
    "a warning": "warnings.warn(f'{ADDRESS} {AGENT}')",
    "a coroutine that is never awaited": (
        "async def wait(who):\n    pass\nwait.__qualname__ = AGENT\nwait(ADDRESS)\ngc.collect()"
    ),
}


def said_by(program: str) -> str:
    """What a process says that logs as services do; its source names nobody, so that no traceback can."""
    source = (
        "import asyncio, gc, logging, os, sys, threading, warnings\n"
        "from services.logs import make_logger\n"
        'make_logger("pixel")\nADDRESS, AGENT = sys.argv[1:]\n' + program
    )
    arguments = [sys.executable, "-W", "always", "-c", source, ADDRESS, USER_AGENT]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", ENDINGS)
def test_no_way_of_failing_names_anybody(way: str) -> None:
    said = said_by(ENDINGS[way])
    assert said, "it is not hidden that something failed"
    assert ADDRESS not in said
    assert "Canary" not in said
    for line in said.splitlines():
        assert json.loads(line)["action"] in ("library", "crashed"), line


def test_a_library_s_own_words_stay() -> None:
    [line] = said_by('logging.getLogger("library").error("no answer to %s", ADDRESS)').splitlines()
    assert json.loads(line)["message"] == "no answer to %s"

"""`make import LOG=access.log SITE=blog.example`: files of the past become hits, each once. See docs/import.md."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import psycopg
import redis
from redis.exceptions import RedisError

from services.settings import SettingsError, load_settings
from tools.arguments import BadRequest
from tools.importer.reading import BadInput
from tools.importer.request import request_of
from tools.importer.run import Import
from tools.importer.stored import NotSealed, WrongSettings
from tools.past_hits import CannotWrite
from tools.stack import NoStack, running_urls

GOES_ON = "what was written stays. Run it again: it goes on, and nothing is stored twice"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, flush=True)


def _given_urls() -> dict[str, str]:
    """Addresses of a stack that is not DATA_DIR's, such as that of Docker; none unless both are given."""
    urls = {
        "OWNER_DATABASE_URL": os.environ.get("DATABASE_URL", ""),
        "REDIS_URL": os.environ.get("REDIS_URL", ""),
    }
    return urls if all(urls.values()) else {}


def run() -> int:
    """0, or 1 where it was interrupted. Raises what ``main`` says in words."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where whoever started it ignores them
        signal.signal(number, _interrupt)
    request, settings = request_of(os.environ), load_settings()
    urls = _given_urls() or running_urls()
    if settings.key_dir.exists() and os.geteuid() not in (0, settings.key_dir.stat().st_uid):
        raise BadRequest(
            f"KEY_DIR {settings.key_dir} belongs to another user: run this as who runs the stack"
        )
    client = redis.Redis.from_url(urls["REDIS_URL"], socket_timeout=10)
    with psycopg.connect(urls["OWNER_DATABASE_URL"], autocommit=True, connect_timeout=5) as connection:
        one = Import(request, settings, connection, client)
        try:
            one.run(_say)
        except KeyboardInterrupt:
            for line in one.report.lines():
                _say(line)
            if request.follows:
                return 0
            print(f"\ninterrupted; {GOES_ON}", file=sys.stderr)
            return 1
    return 0


def main() -> int:
    """0, 1 with an error that says what to do, or 2 where it is asked for wrongly."""
    try:
        return run()
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    except (BadInput, CannotWrite, NoStack, NotSealed, WrongSettings) as error:
        print(error, file=sys.stderr)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except (psycopg.Error, RedisError) as error:
        print(
            f"PostgreSQL or Redis does not answer ({type(error).__name__}): is the stack well? {GOES_ON}",
            file=sys.stderr,
        )
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(f"\ninterrupted; {GOES_ON}")

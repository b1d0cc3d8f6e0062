"""`make dead-letters`: what the running stack has buried: lists it, stores it after all, or drops it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import psycopg

from services.enricher.dead_letters_command import GOES_ON, BadRequest, answer, request_of
from services.settings import SettingsError, load_settings
from tools.arguments import Argument, words_given
from tools.stack import NoStack, running_urls

ARGUMENTS = (
    Argument("REPLAY", "`all`, a reason or the id of a letter: store it after all"),
    Argument("DROP", "`all`, a reason or the id of a letter: empty it for good"),
    Argument("JSON", "1: the list for programs"),
)


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with an error that says what to do."""
    try:
        request, settings = request_of(arguments), load_settings()
        with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
            for line in answer(request, connection, settings):
                print(line)
    except (BadRequest, NoStack) as error:
        print(error, file=sys.stderr)
        return 1
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. {GOES_ON.capitalize()}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(words_given(ARGUMENTS)))
    except KeyboardInterrupt:
        sys.exit(f"interrupted: {GOES_ON}")

"""`make demo`: believable visits beside a running stack; with ``DAYS=90`` a history, without live ones.

The history is the same for the same SEED and days, and stored once however often it is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator

import maxminddb
import psycopg
from redis.exceptions import RedisError

from services import country_database
from services.settings import Settings, SettingsError, load_settings
from tools.arguments import Argument, words_given
from tools.demo.guard import REMOVAL, Refused, check_database, check_settings
from tools.demo.history import put_posts, wait_until_counted, write_history
from tools.demo.live import Live
from tools.demo.traffic import Traffic
from tools.demo.visitors import Addresses, Visitors
from tools.demo.world import World, load_world
from tools.past_hits import CannotWrite
from tools.stack import NoStack, data_dir, pixel_socket, running_urls

USAGE = "usage: make demo [DAYS=90] [SEED=1] or [RATE=60] [MINUTES=10]; FORCE=1 among hits of other sites"
ARGUMENTS = (
    Argument("DAYS", "days of a history, until now; without it visits are live", "0"),
    Argument("SEED", "another number makes another history", "1"),
    Argument("RATE", "live pageviews a minute", "60"),
    Argument("MINUTES", "how long live visits go on; 0: until Ctrl-C", "0"),
    Argument("FORCE", "1: also into a database that has hits of other sites", "0"),
)


def options_of(arguments: list[str]) -> dict[str, int]:
    """NAME=number, whole numbers. Raises ``Refused``."""
    found = {argument.name: int(argument.default) for argument in ARGUMENTS}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in found or not value.isascii() or not value.isdigit():
            raise Refused(f"{argument}: not understood. {USAGE}")
        found[name] = int(value)
    if not found["RATE"]:
        raise Refused("RATE is pageviews a minute: at least 1")
    return found


@contextlib.contextmanager
def _country_of(settings: Settings) -> Iterator[Callable[[str], str | None]]:
    """Looks addresses up; without a database all countries are unknown, as they are to the enricher."""
    try:
        reader = maxminddb.open_database(settings.country_database)
    except (OSError, maxminddb.InvalidDatabaseError):
        print("no country database: visits come from anywhere", file=sys.stderr)
        yield lambda _: None
        return
    with reader:
        yield lambda address: country_database.country_of(reader, address)


def make_traffic(settings: Settings, days: list[datetime.date], seed: int) -> Traffic:
    """The traffic of these days."""
    world = load_world(days[0], days[-1])
    with _country_of(settings) as country_of:
        addresses = Addresses(country_of, world.facts["countries"])
    return Traffic(world, Visitors(world.facts, addresses), seed, settings.report_timezone)


def write_feed(world: World) -> str:
    """Write the feed of the demo's posts; its path."""
    path = data_dir() / "demo/feed.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(world.feed(), encoding="utf-8")
    return str(path)


def history(
    settings: Settings, urls: dict[str, str], traffic: Traffic, days: list[datetime.date], seed: int
) -> int:
    """Write it and say what was written; 0."""
    began_s = time.monotonic()
    hits = write_history(traffic, days, urls["REDIS_URL"], settings.key_dir, seed)
    wait_until_counted(urls["OWNER_DATABASE_URL"])
    put_posts(traffic.world, settings, urls["OWNER_DATABASE_URL"])
    seconds = time.monotonic() - began_s
    print(f"hits {hits}")
    print(f"days {len(days)}")
    print(f"seconds {seconds:.0f} ({hits / seconds:.0f} hits/s, counted)")
    print(f"sites {', '.join(traffic.world.hosts)}")
    print(f"the posts' feed: {write_feed(traffic.world)}")
    print("entry and exit pages follow within minutes")
    print(REMOVAL)
    return 0


def live(settings: Settings, traffic: Traffic, rate: int, minutes: int) -> int:
    """Send until Ctrl-C; 0 when every request was taken."""
    print(f"about {rate} pageviews a minute" + (f" for {minutes} minutes" if minutes else "; Ctrl-C ends it"))
    sender = Live(traffic, rate, settings.client_address_header)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(sender.run(pixel_socket(), minutes * 60 or None))
    print(sender.summary())
    print(REMOVAL)
    return 0 if all(name.startswith(("accepted", "excluded")) for name in sender.outcomes) else 1


def demo(arguments: list[str]) -> int:
    """Raises what ``main`` says in words."""
    options = options_of(arguments)
    urls, settings = running_urls(), load_settings()
    today = datetime.datetime.now(settings.report_timezone).date()
    count = max(1, options["DAYS"])
    days = [today - datetime.timedelta(days=ago) for ago in reversed(range(count))]
    hosts = load_world(days[0], today).hosts
    check_settings(settings, hosts, options["DAYS"])
    check_database(urls["OWNER_DATABASE_URL"], hosts, force=bool(options["FORCE"]))
    traffic = make_traffic(settings, days, options["SEED"])
    if options["DAYS"]:
        return history(settings, urls, traffic, days, options["SEED"])
    return live(settings, traffic, options["RATE"], options["MINUTES"])


def main(arguments: list[str]) -> int:
    """0 when all was taken; 1 else."""
    try:
        return demo(arguments)
    except (NoStack, Refused, CannotWrite) as error:
        print(error, file=sys.stderr)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except (psycopg.Error, RedisError) as error:
        print(
            f"PostgreSQL or Redis does not answer ({type(error).__name__}): is the stack well?",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("\nended; what was written stays. Run it again: nothing is stored twice", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(words_given(ARGUMENTS)))

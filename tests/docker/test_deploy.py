"""`make deploy` on a real engine: a good image takes over and nobody notices, a broken one never does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.stack import ROLLED_UP_WITHIN_S, SERVICES, Stack, docker, wait_until
from tests.docker.test_compose_file import is_installed
from tests.system.load import Load
from tools.compose import DeployError, Project, running_project
from tools.deploy import deploy, say_with_time

pytestmark = pytest.mark.docker
# A deploy takes a minute: what fails where another test fails already is left out, and the rest shared out.
ALL = "ALL_DEPLOYS" in os.environ
ONLY_WHERE_ALL = pytest.mark.skipif(not ALL, reason="skipped: wants ALL_DEPLOYS=1, some minutes")
AUTHOR = ("-c", "user.name=test", "-c", "user.email=test@footfall.example")


def share(stack: Stack, command: list[str]) -> None:
    """Skip, where the compose named is installed too, what it does."""
    if not ALL and stack.command != command and is_installed(command):
        pytest.skip(f"skipped: done with {' '.join(command)}; ALL_DEPLOYS=1 does it with both")


def change(stack: Stack, path: str, old: str, new: str) -> None:
    """Commit a change to the clone that is deployed."""
    file = stack.folder / path
    text = file.read_text() if file.exists() else ""
    assert old in text
    file.write_text(text.replace(old, new, 1) if old else new)
    git(stack.folder, "add", path)
    git(stack.folder, *AUTHOR, "commit", "--quiet", "--message", "changed by a test")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


def project_of(stack: Stack) -> Project:
    """As `make deploy` finds it by the folder."""
    found = running_project(stack.folder)
    assert found is not None
    assert list(found.command) == stack.command
    return Project(found.command, found.name, found.folder, stack.environ)


def do_deploy(stack: Stack) -> list[str]:
    """What it says; `make test` is what runs this."""
    said: list[str] = []
    with_time = say_with_time()  # pytest shows it with a failure

    def say(text: str) -> None:
        said.append(text)
        with_time(text)

    deploy(project_of(stack), lambda: None, say)
    return said


def containers(stack: Stack) -> dict[str, tuple[str, str, int]]:
    """Of each service, what it runs in: container, image, and how often it ended."""
    found = {name: stack.inspect(name) for name in SERVICES}
    return {name: (known["Id"], known["Image"], known["RestartCount"]) for name, known in found.items()}


def images(stack: Stack) -> dict[str, str]:
    """Of each service, what it runs."""
    return {name: image for name, (_, image, _) in containers(stack).items()}


def leftovers(stack: Stack) -> list[str]:
    """Containers, volumes, networks and image names that a deploy made beside the stack's own."""
    project = stack.environ["COMPOSE_PROJECT_NAME"]
    names = docker("ps", "--all", "--format", "{{.Names}}").split()
    names += docker("volume", "ls", "--format", "{{.Name}}").split()
    names += docker("network", "ls", "--format", "{{.Name}}").split()
    names += docker("images", "--format", "{{.Repository}}").split()
    return [name for name in names if name.startswith((f"{project}-proof", f"{project}-candidate"))]


def hits_stored(stack: Stack, ids: list[str]) -> int:
    listed = ",".join(f"'{hit_id}'" for hit_id in ids)
    question = f"select count(*) from hits where hit_id in ({listed})"
    return int(stack.query("footfall", stack.password("database"), question)[0][0])


def audit(stack: Stack, load: Load) -> None:
    """Nobody was refused or cut, and each answered hit is stored once."""
    assert (load.refused, load.cut) == ([], [])
    assert load.answered
    wait_until(
        lambda: hits_stored(stack, load.answered) == len(load.answered) == len(set(load.answered)),
        ROLLED_UP_WITHIN_S,
        lambda: f"{hits_stored(stack, load.answered)} of {len(load.answered)} stored",
    )


def version(stack: Stack) -> str:
    return stack.execute(
        "door", "python", "-c",
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/version').read().decode())",
    ).stdout.strip()  # fmt: skip


def test_a_good_image_takes_over_under_load_and_no_hit_is_lost_or_refused(stack: Stack) -> None:
    share(stack, ["docker-compose"])
    before = containers(stack)
    change(stack, "services/version.py", 'VERSION = "0.1.0"', 'VERSION = "0.1.1"')
    with Load(int(stack.environ["PIXEL_PORT"]), keep_alive=2, new=2) as load:
        said = do_deploy(stack)
    audit(stack, load)
    assert version(stack) == "footfall 0.1.1"
    after = containers(stack)
    exchanged = {name for name in SERVICES if before[name][0] != after[name][0]}
    assert exchanged == {"pixel", "enricher", "rollup"}
    assert leftovers(stack) == [], said
    [(kind, text)] = stack.query("footfall", stack.password("database"), "select kind, text from annotations")
    assert (kind, text.startswith("Deployed ")) == ("deploy", True)
    assert stack.query(
        "footfall", stack.password("database"), "select count(*) from hits where path = '/canary'"
    ) == [(0,)]


def broken_pixel(stack: Stack) -> None:
    change(stack, "services/pixel/__main__.py", '    log = make_logger("pixel")\n', "    return 3\n")


def broken_enricher(stack: Stack) -> None:
    """It is well until there is a hit."""
    line = "        page = self._page_of(raw.url)\n"
    change(stack, "services/enricher/enrich.py", line, "        import os; os._exit(3)\n" + line)


def broken_migration(stack: Stack) -> None:
    """Well on an empty database, so that only the real one shows it."""
    failing = "do $$ begin if exists (select from hits) then raise 'broken'; end if; end $$;\n"
    number = len(list((stack.folder / "migrations").glob("*.sql"))) + 1
    change(stack, f"migrations/{number:04}_broken.sql", "", failing)


def broken_in_the_end(stack: Stack) -> None:
    """Well in the proof and beside the old one; it ends once it took over, so that the old one must come back."""
    ending = (
        "    with connect(settings, 'test') as connection:\n"
        "        has_hits = connection.execute('select from hits limit 1').fetchone() is not None\n"
        "    if has_hits and settings.consumer_name == 'enricher':\n"
        "        sys.exit(3)\n"
    )
    line = "    countries = Countries("
    change(stack, "services/enricher/__main__.py", line, ending + line)


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (broken_enricher, "enricher"),
        (broken_in_the_end, "enricher"),
        pytest.param(broken_pixel, "pixel", marks=ONLY_WHERE_ALL),
        pytest.param(broken_migration, "migrate failed", marks=ONLY_WHERE_ALL),
    ],
    ids=["enricher", "in-the-end", "pixel", "migration"],
)
def test_a_broken_image_never_replaces_a_running_one(
    stack: Stack, break_it: Callable[[Stack], None], why: str
) -> None:
    share(stack, ["docker", "compose"])
    page = "https://blog.example/before"
    assert stack.hit(page) == "accepted"
    wait_until(lambda: stack.pageviews(page)[0] > 0, ROLLED_UP_WITHIN_S, lambda: "the stack stores no hit")
    before, spoken = images(stack), version(stack)
    break_it(stack)
    try:
        with (
            Load(int(stack.environ["PIXEL_PORT"]), keep_alive=1, new=1) as load,
            pytest.raises(DeployError, match=why),
        ):
            do_deploy(stack)
    finally:
        git(stack.folder, "reset", "--quiet", "--hard", "HEAD~1")
    audit(stack, load)
    assert (images(stack), version(stack), leftovers(stack)) == (before, spoken, [])
    for name in ("pixel", "enricher", "rollup"):  # what a start by hand would take
        named = docker("inspect", "--format", "{{.Id}}", project_of(stack).image(name)).strip()
        assert named == before[name]


def test_what_is_not_committed_is_not_deployed(stack: Stack) -> None:
    (stack.folder / "services/new.py").write_text("")
    try:
        with pytest.raises(DeployError, match=r"services/new\.py"):
            do_deploy(stack)
    finally:
        (stack.folder / "services/new.py").unlink()


def test_a_test_that_fails_deploys_nothing(stack: Stack) -> None:
    before = containers(stack)

    def gate() -> None:
        raise DeployError("make test failed")

    with pytest.raises(DeployError, match="make test failed"):
        deploy(project_of(stack), gate, lambda _: None)
    assert containers(stack) == before

"""The proof of new images: a stack of their own, made from nothing, through which one hit must go.

It has its own Redis, database, keys and volumes, is reached by nobody, and is removed with all that it has: so the
hit leaves no trace in the owner's numbers, and no new enricher gets near the keys of hits that wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from tools.compose import DeployError, Project, docker, inspect, is_well, last_words, wait_until
from tools.servers import free_port

UP_WITHIN_S = 300.0
BUILD_WITHIN_S = 1_800.0
THROUGH_WITHIN_S = 60.0
SERVICES = ("door", "pixel", "enricher", "rollup")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
# Run inside the door's container, whose port 8000 is what readers reach.
ASK = (
    "import sys, urllib.request as u;"
    "r = u.Request('http://127.0.0.1:8000' + sys.argv[1], headers={'User-Agent': sys.argv[2]});"
    "a = u.urlopen(r, timeout=20); print(a.status, a.headers['X-Footfall'])"
)
SITE = "from services.settings import load_settings as l; s = l().sites; print(s[0].host if s else 'canary.example')"
# Excluded, so that it counts nowhere but among the excluded; it travels with the groups and is stored as they are.
EXCLUDED = "/a?url=http%3A%2F%2Flocalhost%2F"
EXCLUDED_SO_FAR = "select coalesce(sum(hits), 0) from ledger_left_out where reason = 'local-host'"


def proof_of(project: Project) -> Project:
    """The project of the proof: on ports that nobody knows, and asking nobody outside."""
    ports = {name: str(free_port()) for name in ("REDIS_PORT", "POSTGRES_PORT")}
    ports["PIXEL_PORT"] = f"127.0.0.1:{free_port()}"
    environ = {
        **project.environ,
        **ports,
        "COUNTRY_REFRESH": "off",
        "COMPOSE_PROJECT_NAME": f"{project.name}-proof",
    }
    return replace(project, name=f"{project.name}-proof", environ=environ)


def build(proof: Project) -> None:
    """New images under the names of the proof. Raises ``DeployError``."""
    at_once = ["--parallel"] if proof.command == ("docker-compose",) else []  # compose 2 does so by itself
    proof.compose("build", *at_once, "migrate", *SERVICES, within_s=BUILD_WITHIN_S)
    docker("tag", proof.image("migrate"), proof.image("passwords"))  # the same, with another command


def prove(proof: Project, say: Callable[[str], None]) -> None:
    """Build, start, send the hit. Raises ``DeployError``."""
    build(proof)
    say("images built")
    try:
        proof.compose("up", "--detach", "--no-build", "migrate", *SERVICES, within_s=UP_WITHIN_S)
    except DeployError as error:
        raise DeployError(f"the new images do not start: {error}\n  {words_of_the_failed(proof)}") from error
    wait_until(
        lambda: all(is_well(proof.container(name)) for name in SERVICES), UP_WITHIN_S, "the new services"
    )
    say("the new services run in a stack of their own")
    send_hit(proof)
    say("a hit went through them into the database and its numbers")


def words_of_the_failed(proof: Project) -> str:
    """What those said that ended with an error."""
    ended = []
    for service in ("passwords", "migrate", *SERVICES):
        container = proof.container(service)
        if container and inspect(container)["State"]["ExitCode"]:
            ended.append(f"{service}: {last_words(container)}")
    return "\n  ".join(ended)


def send_hit(proof: Project) -> None:
    """Raises ``DeployError`` unless a hit becomes a row and a number, and nobody ended over it."""
    hit_id = str(uuid.uuid4())
    site = proof.in_container("pixel", "python", "-c", SITE).strip()
    said = ask(proof, f"/a?id={hit_id}&url=https%3A%2F%2F{site}%2Fcanary")
    if said != "204 accepted":
        raise DeployError(f"the new pixel answered a hit with {said!r}")
    question = (
        f"select (select count(*) from hits where hit_id = '{hit_id}'), "
        "(select coalesce(sum(pageviews), 0) from daily_traffic)"
    )

    def is_through() -> bool:
        for name in SERVICES:
            is_well(proof.container(name))  # raises where one ended
        return rows(proof, question) == "1|1"

    wait_until(is_through, THROUGH_WITHIN_S, "a hit was answered and did not come through")


def shows_a_request(project: Project) -> None:
    """Raises ``DeployError`` unless a request to the real port, which counts nowhere, becomes a row of the ledger."""
    before = int(rows(project, EXCLUDED_SO_FAR))
    said = ask(project, EXCLUDED)
    if said != "204 excluded; reason=local-host":
        raise DeployError(f"the pixel answered {said!r}")
    wait_until(
        lambda: int(rows(project, EXCLUDED_SO_FAR)) > before,
        THROUGH_WITHIN_S,
        "a request did not reach the database",
    )


def ask(project: Project, path: str) -> str:
    """Status and outcome of a request to the port that readers reach. Raises ``DeployError``."""
    return project.in_container("door", "python", "-c", ASK, path, AGENT).strip()


def rows(project: Project, question: str) -> str:
    """What the database answers, as the owner, in its container."""
    return project.in_container(
        "postgres", "psql", "-qAt", "-U", "footfall", "-d", "footfall", "-c", question
    ).strip()


def remove_proof(proof: Project) -> None:
    """All that it was: containers, volumes, networks, and its names for the images."""
    proof.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
    left = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={proof.name}")
    if left:
        docker("rm", "--force", *left.split())
    # By their names: `--rmi local` of compose 2 would take the images themselves, whatever else they are called.
    names = [proof.image(service) for service in ("passwords", "migrate", *SERVICES)]
    there = [name for name in names if docker("images", "--quiet", name)]
    if there:
        docker("rmi", *there)

"""`make deploy`: puts what is committed here into the place of what runs, and loses and refuses no hit over it.

Nothing that runs is touched before the new images have passed everything: `make test`, and a hit on its way through
a stack of their own. Then the database is migrated, a new pixel and a new enricher start beside the old ones, and
the old ones are exchanged while these work. Whatever goes wrong, what ran before runs on, or again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psycopg

from tools.compose import DeployError, Project, docker, inspect, running_project, wait_until, wait_until_well
from tools.deploy_proof import proof_of, prove, remove_proof, rows, shows_a_request
from tools.stack import RENEWED_FILE, SUPERVISOR_FILE, NoStack, data_dir, running_urls

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("enricher", "rollup", "pixel")
ONE_SHOTS = ("passwords", "migrate")
# Beside the old ones while they are exchanged. No rollup: one alone works, and what is stored waits for it.
BESIDE = ("pixel", "enricher")
WELL_WITHIN_S = 120.0
STOP_WITHIN_S = 30
RENEWED_WITHIN_S = 600.0  # a migration, then 70 s a service at most
Say = Callable[[str], None]


def say_with_time() -> Say:
    """Prints a line with the seconds since now."""
    began = time.monotonic()
    return lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def make_test() -> None:
    """Raises ``DeployError``."""
    if subprocess.run(["make", "test"], cwd=ROOT, check=False).returncode:
        raise DeployError("make test failed: nothing is deployed")


def commit_of(folder: Path) -> str:
    """The commit that is deployed. Raises ``DeployError`` where something is not committed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise DeployError(f"git {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    if changed := git("status", "--porcelain"):
        raise DeployError("not committed, so nobody could go back to it; commit or remove it:\n" + changed)
    return git("rev-parse", "--short=12", "HEAD")


def note_statement(commit: str) -> str:
    """Puts the deploy on the curves. ``commit``: hexadecimal digits."""
    return f"insert into annotations (begins_at, kind, text) values (now(), 'deploy', 'Deployed {commit}')"


def put_on_curves(ask: Callable[[str], object], commit: str, say: Say) -> None:
    """Note the deploy for the dashboards; it is done whether that goes well or not."""
    try:
        ask(note_statement(commit))
    except (DeployError, psycopg.Error) as error:
        say(f"not noted on the dashboards' curves: {type(error).__name__}")


def ask_running(statement: str) -> None:
    """As the owner of a `make run`. Raises ``psycopg.Error``."""
    with psycopg.connect(running_urls()["OWNER_DATABASE_URL"], connect_timeout=5) as connection:
        connection.execute(statement.encode())


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One deploy of a folder at a time. Raises ``DeployError``."""
    with (folder / "docker-compose.yml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError("another deploy of this folder runs") from None
        yield


def running_images(project: Project) -> dict[str, str]:
    """Ids of the images that the services run by. Raises ``DeployError``."""
    if not project.container("door"):
        raise DeployError(
            "this stack has no door yet, which must have the pixel's port: stop the pixel and start all anew, once "
            f"({' '.join(project.command)} stop pixel && {' '.join(project.command)} up --build --detach)"
        )
    for service in (*SERVICES, "redis", "postgres", "door"):
        container = project.container(service)
        if not container or inspect(container)["State"]["Status"] != "running":
            raise DeployError(
                f"{service} does not run: a deploy changes a stack that is well; start it first"
            )
    return {service: inspect(project.container(service))["Image"] for service in SERVICES}


def candidate(project: Project, service: str) -> str:
    """The name of the container that works beside the old one."""
    return f"{project.name}-candidate-{service}"


def remove_candidates(project: Project) -> None:
    """They finish what they have: what a pixel spooled, the next one sends on."""
    names = [candidate(project, service) for service in BESIDE]
    there = [name for name in names if docker("ps", "--all", "--quiet", "--filter", f"name=^{name}$")]
    if there:
        docker("stop", "-t", str(STOP_WITHIN_S), *there)
        docker("rm", "--force", *there)


def start_candidates(project: Project) -> None:
    """New ones beside the old, on the real stream. Raises ``DeployError``."""
    for service in BESIDE:
        own_name = ["-e", "CONSUMER_NAME=candidate"] if service == "enricher" else []
        name = candidate(project, service)
        project.compose("run", "--detach", "--no-deps", *own_name, "--name", name, service)
    wait_until_well([candidate(project, service) for service in BESIDE], WELL_WITHIN_S)


def exchange(project: Project, services: Iterable[str]) -> None:
    """Stop containers and start others by the present images; until they are well. Raises ``DeployError``."""
    project.compose("stop", "--timeout", str(STOP_WITHIN_S), *services)
    project.compose("rm", "--force", *services)
    project.compose("up", "--detach", "--no-deps", "--no-build", *services)
    wait_until_well([project.container(service) for service in services], WELL_WITHIN_S)


def run_one_shots(project: Project) -> None:
    """Passwords that are new, then migrations, beside what runs. Raises ``DeployError``."""
    for service in ONE_SHOTS:
        former = project.container(service)
        image = inspect(former)["Image"] if former else ""
        project.compose("rm", "--force", service)
        project.compose("up", "--detach", "--no-deps", "--no-build", service)
        container = project.container(service)
        if docker("wait", container) != "0":
            if image:  # what a start by hand would take
                docker("tag", image, project.image(service))
            raise DeployError(f"{service} failed; what runs is as it was:\n  {docker('logs', container)}")


def put_back(project: Project, before: dict[str, str], say: Say) -> None:
    """The old images under their names, and a container by them wherever there is another one."""
    for service, image in before.items():
        docker("tag", image, project.image(service))
    others = [service for service, image in before.items() if not runs_by(project, service, image)]
    if others:
        say(f"putting back the old {', '.join(others)}")
        exchange(project, others)


def runs_by(project: Project, service: str, image: str) -> bool:
    """Whether a service's container is one by this image, and runs."""
    container = project.container(service)
    known = inspect(container) if container else {}
    return bool(known) and known["Image"] == image and known["State"]["Status"] == "running"


def switch(project: Project, commit: str, before: dict[str, str], say: Say) -> None:
    """From the old images to the proven ones. Raises ``DeployError``, with the old ones back."""
    for service, image in before.items():
        docker("tag", image, project.image(service, "before"))
    try:
        for service in (*SERVICES, *ONE_SHOTS):
            docker("tag", project.image(service, commit), project.image(service))
        run_one_shots(project)
        say("migrated; the old services go on")
        start_candidates(project)
        say("a new pixel and a new enricher work beside the old ones")
        exchange(project, SERVICES)
        say("the old services are exchanged")
        shows_a_request(project)
        say("a request went the whole way into the database")
    except BaseException:
        say("failed; the old images come back")
        put_back(project, before, say)  # should that fail too, the new ones beside them are left at work
        remove_candidates(project)
        raise
    remove_candidates(project)


def deploy(project: Project, gate: Callable[[], None], say: Say) -> None:
    """All steps. Raises ``DeployError``; what ran before then runs."""
    with alone(project.folder):
        before = running_images(project)
        commit = commit_of(project.folder)
        say(f"deploying {commit} to {project.name}")
        gate()
        say("tests passed")
        proof = proof_of(project)
        remove_candidates(project)  # of a deploy that was killed
        remove_proof(proof)
        try:
            prove(proof, say)
            for service in (*SERVICES, *ONE_SHOTS):
                docker("tag", proof.image(service), project.image(service, commit))
        finally:
            remove_proof(proof)
        switch(project, commit, before, say)
        put_on_curves(lambda statement: rows(project, statement), commit, say)
        say(f"deployed {commit}; the images of before are tagged `before`")


def renew(gate: Callable[[], None], say: Say) -> None:
    """The same for a `make run` in DATA_DIR. Raises ``DeployError``; services that are not ready do not take over."""
    run_folder = data_dir() / "run"
    commit = commit_of(ROOT)
    say(f"deploying {commit} to DATA_DIR {data_dir().resolve()}")
    gate()
    say("tests passed")
    outcome = run_folder / RENEWED_FILE
    outcome.unlink(missing_ok=True)
    os.kill(int((run_folder / SUPERVISOR_FILE).read_text()), signal.SIGUSR1)
    wait_until(outcome.exists, RENEWED_WITHIN_S, "the supervisor did not renew its services")
    if problem := outcome.read_text():
        raise DeployError(problem)
    put_on_curves(ask_running, commit, say)
    say(f"deployed {commit}; the supervisor and its servers are renewed by a restart only")


def main() -> int:
    """0, or 1 with an error that says what failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # puts back what runs, as Ctrl-C does
    try:
        project = running_project(ROOT)
        if project is not None:
            deploy(project, make_test, say_with_time())
        else:
            running_urls()  # or an error that says how to start
            renew(make_test, say_with_time())
    except (DeployError, NoStack) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Sockets that are handed over: by systemd's protocol, in order, for the one process that they are meant for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from services.settings import handed_descriptors
from tools.run_stack import handing_over

TELL = (
    "import os, socket; n = int(os.environ['LISTEN_FDS']); assert int(os.environ['LISTEN_PID']) == os.getpid();"
    "print([socket.socket(fileno=3 + i).getsockname()[1] for i in range(n)])"
)


def test_the_program_has_the_sockets_from_descriptor_3_on_in_order() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [item.getsockname()[1] for item in sockets]
    for order in (sockets, sockets[::-1]):
        told = subprocess.run(
            [*handing_over(order), sys.executable, "-c", TELL],
            capture_output=True, text=True, check=True, pass_fds=[item.fileno() for item in order],
        )  # fmt: skip
        assert told.stdout.strip() == str(ports if order is sockets else ports[::-1])
    for item in sockets:
        item.close()


def test_the_program_keeps_its_process_id() -> None:
    with socket.create_server(("127.0.0.1", 0)) as item:
        command = [*handing_over([item]), sys.executable, "-c", "import os; print(os.getpid())"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[item.fileno()])
        assert process.communicate(timeout=20)[0].strip() == str(process.pid)


@pytest.mark.parametrize(
    ("environ", "number"),
    [
        ({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}, 2),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, 0),  # inherited from a parent for whom they were meant
        ({"LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": str(os.getpid())}, 0),
        ({}, 0),
    ],
)
def test_sockets_meant_for_another_process_are_not_taken(environ: dict[str, str], number: int) -> None:
    assert handed_descriptors(environ) == number


def test_without_sockets_nothing_stands_before_the_program() -> None:
    assert handing_over([]) == []

"""``python tools/hand_over.py 7,9 program …``: becomes the program, with open sockets handed over to it.

By systemd's protocol (``services.listening``): the descriptors move to 3, 4 …, LISTEN_FDS says how many they are and
LISTEN_PID for whom, which only the process itself knows before it becomes the program. Imports nothing of ours.
"""

from __future__ import annotations

import os
import sys

FIRST = 3


def main(descriptors: list[int], program: list[str]) -> None:
    """Does not return. Raises OSError."""
    # First out of the way: one of them may stand where another has to go.
    above = [os.dup(item) for item in descriptors]
    while min(above) < FIRST + len(above):
        above = [os.dup(item) for item in above]
    for place, item in enumerate(above):
        os.dup2(item, FIRST + place)  # which the program inherits, as dup2 sees to
    for item in descriptors:
        if item >= FIRST + len(above):
            os.close(item)  # or the program would hold the socket open beside the copy that it knows
    os.environ["LISTEN_FDS"] = str(len(above))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execv(program[0], program)


if __name__ == "__main__":
    main([int(item) for item in sys.argv[1].split(",")], sys.argv[2:])

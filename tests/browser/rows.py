"""Rows of a running stack, waited for."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from tests.system.stack import Stack

ROW_S = 20.0


def free_name(kind: str = "post") -> str:
    """A name that no other test uses, with nothing in it that looks like a secret."""
    return f"{kind}-{uuid.uuid4().hex[:8]}"


async def rows(stack: Stack, sql: str, *parameters: Any, number: int = 1) -> list[dict[str, Any]]:
    """The rows of a query, once there are so many. Raises TimeoutError."""

    def ask() -> list[dict[str, Any]]:
        with stack.connect() as connection:
            cursor = connection.execute(sql, parameters)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    async with asyncio.timeout(ROW_S):
        # What is waited for happens in other processes.
        while len(found := await asyncio.to_thread(ask)) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found

"""The checks, in the order in which they are made."""

from __future__ import annotations

from typing import Any

from tools.doctor import (
    client_address,
    clocks,
    country,
    machine,
    outside,
    page,
    passwords,
    pipeline,
    ports,
    readers,
    services,
    stream,
)
from tools.doctor.check import Check

CHECKS: tuple[Check[Any], ...] = (
    Check("services", services.gather_parts, services.judge_parts),
    Check("settings", services.gather_agreement, services.judge_agreement),
    Check("schema", pipeline.gather_schema, pipeline.judge_schema),
    Check("pipeline", pipeline.gather, pipeline.judge),
    Check("client-address", client_address.gather, client_address.judge),
    Check("readers", readers.gather, readers.judge),
    Check("redis", stream.gather, stream.judge),
    Check("clock", clocks.gather, clocks.judge),
    Check("country", country.gather, country.judge),
    Check("disk", machine.gather_disks, machine.judge_disks),
    Check("memory", machine.gather_memory, machine.judge_memory),
    Check("ports", ports.gather, ports.judge),
    Check("roles", passwords.gather_roles, passwords.judge_roles),
    Check("grafana", passwords.gather_grafana, passwords.judge_grafana),
    Check("keys", services.gather_keys, services.judge_keys),
    Check("https", outside.gather_certificate, outside.judge_certificate),
    Check("cors", outside.gather_answers, outside.judge_cors),
    Check("proxy", outside.gather_answers, outside.judge_proxy),
    Check("page", page.gather, page.judge),
)

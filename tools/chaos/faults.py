"""The faults: each lasts for a moment, undoes what it did, and says in a few words what that was."""

from __future__ import annotations

from tools.chaos.process_faults import process_faults
from tools.chaos.server_faults import SERVER_FAULTS
from tools.chaos.wire_faults import wire_faults

FAULTS = (*process_faults(), *wire_faults(), *SERVER_FAULTS)

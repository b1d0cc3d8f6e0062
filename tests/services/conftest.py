"""Hypothesis's profile holds for all tests of the services."""

from __future__ import annotations

import tests.strategies  # noqa: F401 - registers and loads the profile

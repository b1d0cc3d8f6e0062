"""`make import`: files of the past become hits. See docs/import.md."""

"""The questions of docs/sql.md, asked of the demo's visits: a fixed seed and fixed days."""

"""Which rules say what a source is and what a bot is; stored with each row.

Raise it with every change of ``sources.toml``, ``bots.toml`` or the code that reads them that may give another answer
for the same hit: `make renormalise` then reads history again. A test holds the digest of the two files.
"""

VERSION = 2

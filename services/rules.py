"""Which rules say what a source is and what a bot is.

Raise it with every change of ``sources.toml``, ``bots.toml`` or the code that reads them that may give another answer
for the same hit: `make renormalise` then reads the days again that were not read by this version (the table
``renormalised``). A test holds the digest of the two files.
"""

VERSION = 2

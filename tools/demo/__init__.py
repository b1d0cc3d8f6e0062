"""`make demo`: believable visits beside a running stack."""

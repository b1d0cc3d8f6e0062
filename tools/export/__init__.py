"""`make export`: writes hits and reporting views to files that other programs read."""

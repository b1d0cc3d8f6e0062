"""Ninety days of stored hits, made up: ten million by default, the same ones each time.

``shape`` says how many and of what kind, ``requests`` of which pages and clients; ``vocabulary`` fills the tables of
numbers, ``make_hits.sql`` draws the hits of a day, ``build`` makes a database of them, ``cache`` keeps it as a folder
of PostgreSQL's between runs.
"""

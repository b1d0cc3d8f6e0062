"""`make doctor`: looks from outside for what goes wrong in practice, and says how to mend it."""

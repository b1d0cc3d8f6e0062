"""`make chaos`: faults at random on a whole stack under load, then an audit of every single hit."""

"""What a person runs: nothing in here is deployed."""

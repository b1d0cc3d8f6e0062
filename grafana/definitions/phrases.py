"""Sentences that several descriptions need: the same thing is said in the same words everywhere."""

HUMAN = "Hits of people: bots and the owner's own visits are left out."
SUMMED = "Daily visitors, summed: someone who comes on two days counts twice."
COMPARED = (
    "Below: against as many days right before. Only whole days are compared: "
    "today, which is not over, is left out. "
    "Where counting began after the first of the days before, its first day is said."
)

"""Pure, synchronous decisions: facts and `now` in, data out. No I/O, no clock, no randomness.

`fold` makes episodes of observations, `match` finds the rule, `guards` judge an attempt, `case` is all
that is known of an incident, `next_move` says what happens to it, `changes` say what a result means.
"""

"""Rules in virtual time: the engine's own logic over a ledger in memory, for tests and for backtests.

What belongs here: `memory` and what it is made of keep what PostgreSQL keeps, for as long as a rehearsal
lasts; `rehearsal` is the one loop over a heap of due times. What decides and performs is the product's own
(`decide`, `engine.perform`, `engine.gather`, the guards): nothing here decides anything about an incident.
What the systems outside say comes in by `World`, the ports of the engine: from a test file (`script`,
`reading`, `faked`), or from recorded facts. `happened` keeps what a test can ask for, `checks` compares it
with what is expected, `play` does this for whole files.

What does not: a second opinion on anything. Where the store has a rule of its own (who is woken when, what
counts as spent), the same stands here in the same words, and a test holds both against each other.
"""

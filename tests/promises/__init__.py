"""The promises: one test for each, a run that tells which are held, and sabotages that they have to find."""

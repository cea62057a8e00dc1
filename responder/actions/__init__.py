"""What can be done: one file for each system, one class for each action. `registry` maps names to classes."""

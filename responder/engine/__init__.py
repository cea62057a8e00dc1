"""Does what was decided: intake (group commit), worker (lease, perform), recovery."""

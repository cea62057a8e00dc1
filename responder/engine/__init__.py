"""Does what was decided: intake (group commit), workers (lease, perform), and the loops beside them."""

"""Where the operations manual itself is, for whoever has it: it is not part of this repository.

Taken out of the environment, where the settings would find a variable of ours that they do not know.
"""

import os

MANUAL = os.environ.pop("RESPONDER_MANUAL", None)
"""The path of its file; None where nobody says."""

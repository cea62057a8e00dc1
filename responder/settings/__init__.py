"""The settings: one YAML file, variables on top of it, and where each value came from.

`model` composes the settings of the packages, `given` gathers what was written and where, `load` checks it
and names every mistake with its place and its mend, `shown` prints what applies without a secret.
"""

from responder.settings.load import Loaded, chosen_file, load, written
from responder.settings.model import PrometheusSettings, Settings
from responder.settings.problem import SettingsError

__all__ = ["Loaded", "PrometheusSettings", "Settings", "SettingsError", "chosen_file", "load", "written"]

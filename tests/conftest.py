"""Hypothesis profiles. CI draws the same examples every time; elsewhere each run looks at new ones."""
import os

from hypothesis import HealthCheck, settings

COMMON = dict(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("local", max_examples=60, **COMMON)
settings.register_profile("ci", max_examples=60, derandomize=True, **COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "local")

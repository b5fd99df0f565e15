"""Needs a framework that is not installed."""

import a_framework_that_is_not_installed  # noqa: F401

"""Leaves the program when it is imported."""

import sys

sys.exit("exits.py has had enough")

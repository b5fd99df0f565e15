"""Networks compared on class folders: each measured in a process of its own, then scored on the same items."""

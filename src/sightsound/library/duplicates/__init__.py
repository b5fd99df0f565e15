"""Items of a library, and parts of recordings, that look or sound the same."""

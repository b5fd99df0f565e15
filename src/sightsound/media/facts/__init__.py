"""What a file says of itself beside its pixels or samples: when and where it was made, with what, and keywords."""

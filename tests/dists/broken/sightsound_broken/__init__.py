"""One module for each way of being broken."""

"""What a resident receives."""

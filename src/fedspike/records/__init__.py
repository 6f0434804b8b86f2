"""What a run says of itself, and how it is stored."""

"""Energy: integer operation counts, cited prices, and the bill that multiplies them."""

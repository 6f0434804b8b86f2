"""A fleet of real machines: its folder, its keys and certificates, and Flower's programs around it."""

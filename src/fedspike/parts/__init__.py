"""What a network is put together from: a folder for each family of parts, a file for each kind."""

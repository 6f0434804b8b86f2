"""The search for settings: for each network of a sweep those with which it does best on held-out samples."""

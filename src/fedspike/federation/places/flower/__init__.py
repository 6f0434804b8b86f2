"""The same algorithm on real devices, through Flower: two thin apps around rooms that are elsewhere.

Flower carries, encrypts, knows who is who and starts processes. Ours are `server.py`, the rounds of a fleet
as an iterator like `simulate`, and `node.py`, which trains the clients of one device or machine. A reader
starts at `messages.py`, what they say to each other.
"""

"""The place for real devices: Flower carries, encrypts and knows who is who; its apps call what is here.

A reader starts at `messages.py`, what server and nodes say to each other. `server.py` hands out orders and
hears the answers, `node.py` trains the clients of one device or machine.
"""

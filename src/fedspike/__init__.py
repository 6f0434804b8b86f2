"""Federated learning with spiking neural networks: simulated, priced, reported."""

"""Shapes of layers and their synapses: what networks and the energy bill both stand on."""

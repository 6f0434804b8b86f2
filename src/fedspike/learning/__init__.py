"""From a start and a device's samples to a trained model."""

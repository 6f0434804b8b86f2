"""From the records of finished runs to what figures and sentences are made of."""

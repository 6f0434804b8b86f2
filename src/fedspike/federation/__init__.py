"""Rounds of a fleet: devices, orders, guard, and the places where clients are trained."""

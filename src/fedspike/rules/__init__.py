"""Answers of many clients to one: a file for each rule."""

from fedspike.rules.mean import Mean
from fedspike.rules.median import Median
from fedspike.rules.pooled import Pooled
from fedspike.rules.rule import Rule, joined, narrowed

RULES: tuple[type[Rule], ...] = (Mean, Median)

__all__ = ["RULES", "Mean", "Median", "Pooled", "Rule", "joined", "narrowed"]

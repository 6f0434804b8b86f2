"""Answers of many clients to one: a file for each rule."""

from fedspike import part
from fedspike.rules.apart import Apart as Apart
from fedspike.rules.each import Each as Each
from fedspike.rules.exact_sum import MOST_PARTS as MOST_PARTS
from fedspike.rules.exact_sum import ExactSum as ExactSum
from fedspike.rules.exact_sum import exact_mean as exact_mean
from fedspike.rules.holders import Holders as Holders
from fedspike.rules.maximum import Maximum as Maximum
from fedspike.rules.mean import Mean as Mean
from fedspike.rules.median import Median as Median
from fedspike.rules.pooled import Pooled as Pooled
from fedspike.rules.rule import Replies as Replies
from fedspike.rules.rule import Rule as Rule
from fedspike.rules.rule import corner as corner
from fedspike.rules.rule import heaps as heaps
from fedspike.rules.rule import joined as joined
from fedspike.rules.seated import Seated as Seated
from fedspike.rules.strongest import Strongest as Strongest

RULES = part.kinds(Rule, vars(), usual=Mean)

"""Spoken digits made on this machine, laid out as the Heidelberg data sets are; they are not SHD."""

from fedspike.data.spoken_digits.recipe import NAME as NAME
from fedspike.data.spoken_digits.recipe import make as make

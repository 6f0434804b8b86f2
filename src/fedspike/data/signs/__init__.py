"""Traffic signs that are drawn: outlines, symbols, faces, and scenes with them."""

from fedspike.data.signs.faces import CLASSES as CLASSES
from fedspike.data.signs.signs import Signs as Signs

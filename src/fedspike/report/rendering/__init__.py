"""From sections of figures to a page, tables and pictures; knows no figure by name."""

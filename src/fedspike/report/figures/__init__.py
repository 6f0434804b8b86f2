"""The figures and tables of the report, a file each; `figure.py` says what they have in common."""

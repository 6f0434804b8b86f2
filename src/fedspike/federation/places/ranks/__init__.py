"""The same loop in several processes, each of which trains a part of the cohort."""

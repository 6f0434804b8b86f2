"""Bytes as text to read."""


def size(count: int) -> str:
    """In the largest unit of which there is one.

    >>> size(812), size(3_400_000), size(0)
    ('1 kB', '3.4 MB', '0 kB')
    """
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if count >= each:
            return f"{count / each:.1f} {unit}"
    return f"{-(-count // 1000)} kB"

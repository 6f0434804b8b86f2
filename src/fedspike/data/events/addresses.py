"""Events as addresses of a camera's own: five bytes each, as N-MNIST has them, and AEDAT 2.0 and 3.1.

Times are in us.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fedspike.data.events.event_columns import MOST_BYTES, Columns, Names
from fedspike.files import content_of

OVERFLOW, OVERFLOW_US = (
    240,
    2**13,
)  # the row that tells it, and what is added to all times behind it
LAST = 127  # row and column of a DVS128
PACKET = np.dtype(
    [("type", "<i2"), ("source", "<i2")]
    + [(name, "<i4") for name in ("size", "offset", "overflow", "capacity", "number", "valid")]
)
POLARITY, POLARITY_BYTES = 1, 8  # the type of its packets, and the size of an event in them
AEDAT = re.compile(rb"#!AER-DAT(\d)\.(\d)\r?\n")


def five_bytes(path: Path, names: Names) -> Columns:
    """Column, row, and 24 bits with polarity and time, big-endian, as N-MNIST and N-Caltech101 have them.

    Raises OSError and ValueError.

    Source: Orchard, Jayawant, Cohen, Thakor, "Converting static image datasets to spiking neuromorphic
    datasets using saccades", Frontiers in Neuroscience 9, 2015.
    """
    content = np.frombuffer(content_of(path, MOST_BYTES), np.uint8)
    if len(content) % 5:
        raise ValueError(f"it has {len(content)} bytes, and 5 belong to each event")
    x, y, first, second, third = content.reshape(-1, 5).astype(np.int64).T
    overflow = y == OVERFLOW
    t = ((first & 127) << 16 | second << 8 | third) + OVERFLOW_US * overflow.cumsum()
    columns = {"t": t, "x": x, "y": y, "p": first >> 7}
    return {name: columns[name][~overflow] for name in names}


def aedat(path: Path, names: Names) -> Columns:
    """What a DVS128 wrote in AEDAT 2.0, or any camera in 3.1. Raises OSError and ValueError.

    Row 0 is the uppermost one. In version 2.0 a set bit of polarity is OFF, and columns go from right to
    left, as jAER, which writes such files, has it.

    Source: iniVation AG, "AEDAT file formats", https://docs.inivation.com.
    """
    content = content_of(path, MOST_BYTES)
    head = AEDAT.match(content)
    version = (0, 0) if head is None else tuple(map(int, head.groups()))
    if version == (2, 0):
        columns = _version_2(_body(content))
    elif version == (3, 1):
        columns = _version_3(_body(content))
    else:
        own = ".".join(map(str, version)) if head else "none, as it has no line #!AER-DAT"
        raise ValueError(f"its version of AEDAT is {own}, and 2.0 and 3.1 are read")
    return {name: columns[name] for name in names}


def _body(content: bytes) -> UInt8[np.ndarray, " byte"]:
    """What stands behind the lines that begin with #, of which version 3.1 has a last one."""
    begin = 0
    while content[begin : begin + 1] == b"#":
        end = content.find(b"\n", begin) + 1
        if not end:
            raise ValueError("its header does not end")
        last = content[begin:end].startswith(b"#!END-HEADER")
        begin = end
        if last:
            break
    return np.frombuffer(content, np.uint8, offset=begin)


def _version_2(body: UInt8[np.ndarray, " byte"]) -> Columns:
    if len(body) % 8:
        raise ValueError(f"it has {len(body)} bytes behind its header, and 8 belong to each event")
    address, t = body.view(">i4").reshape(-1, 2).astype(np.int64).T
    if ((address < 0) | (address >= 2**16)).any():
        raise ValueError("it has addresses that a DVS128 has not; of AEDAT 2.0 only DVS128 is read")
    by_pixel = address < 2**15  # the last bit is set where no pixel but a pin told something
    a = address[by_pixel]
    return {"t": t[by_pixel], "x": LAST - (a >> 1 & 127), "y": LAST - (a >> 8), "p": 1 - (a & 1)}


def _version_3(body: UInt8[np.ndarray, " byte"]) -> Columns:
    parts, begin = [np.empty((0, 2), np.int64)], 0
    while begin < len(body):
        if begin + PACKET.itemsize > len(body):
            raise ValueError("it ends within the header of a packet")
        packet = body[begin : begin + PACKET.itemsize].view(PACKET)[0]
        size, capacity, number = (int(packet[key]) for key in ("size", "capacity", "number"))
        begin += PACKET.itemsize
        if size < 0 or not 0 <= number <= capacity:
            raise ValueError(f"a packet says that it has {number} events of {size} bytes")
        if begin + size * capacity > len(body):
            raise ValueError(
                f"a packet of {size * capacity} bytes is promised, and {len(body) - begin} are left"
            )
        if packet["type"] == POLARITY:
            if size != POLARITY_BYTES:
                raise ValueError(
                    f"a packet has polarity events of {size} bytes, not {POLARITY_BYTES}"
                )
            words = body[begin : begin + size * number].view("<u4").reshape(-1, 2).astype(np.int64)
            words[:, 1] += int(packet["overflow"]) << 31
            parts.append(words)
        begin += size * capacity
    data, t = np.concatenate(parts).T
    valid = data & 1 == 1
    data = data[valid]
    return {"t": t[valid], "x": data >> 17, "y": data >> 2 & 0x7FFF, "p": data >> 1 & 1}

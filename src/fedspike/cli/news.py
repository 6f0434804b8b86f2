"""What is watched, in lines: one for what has changed, where there is no terminal to draw on."""

import re
import time
from collections.abc import Sequence

from fedspike.cli.picture import absence, headline, sentence, shown
from fedspike.records.views import View

LINE_S = 10.0  # at most one line of a run in this time, while its state stays as it is
NUMBER = re.compile(r"[\d.]+%")  # of a remark that is made once, however it changes


class News:
    """What was written already, of which a line would say nothing new."""

    def __init__(self) -> None:
        self.written: dict[tuple[str, str], tuple[str, float]] = {}  # of what, and when

    def lines(self, view: View) -> list[str]:
        """What there is to say: at once of another state, now and then of another round."""
        lines = [
            absence(folder) for folder in view.absent if self._is_new(("", folder), "absent", "")
        ]
        for one in view.experiments:
            folder, head = shown(one.folder), list[str]()
            if self._is_new((one.folder, ""), one.state, ""):
                going_on = f"; to go on: {shown(one.command)}" if one.command else ""
                head.append(headline(one) + going_on)
            lines += head if one.state == "running" else []
            lines += self._remarks(folder, one.remarks)
            for run in one.runs:
                text = sentence(run)
                if self._is_new((one.folder, run.run), run.state, text):
                    lines.append(f"{folder}/{text}")
                lines += self._remarks(f"{folder}/{run.run}", run.remarks)
            lines += self._remarks(folder, one.fixes)
            lines += head if one.state != "running" else []
        return lines

    def _remarks(self, about: str, remarks: Sequence[str]) -> list[str]:
        """A line for each that was not made yet, whatever numbers are in it."""
        plain = [(NUMBER.sub("", remark), remark) for remark in remarks]
        return [
            shown(f"{about}: {whole}")
            for key, whole in plain
            if self._is_new((f"{about}: {key}", ""), "", "")
        ]

    def _is_new(self, key: tuple[str, str], state: str, text: str) -> bool:
        before, now = self.written.get(key), time.monotonic()
        if before is not None:
            same = before[0].startswith(f"{state}\n")
            if before[0] == f"{state}\n{text}" or (same and now - before[1] < LINE_S):
                return False
        self.written[key] = f"{state}\n{text}", now
        return True

"""A parser that says what was meant: a command line that cannot be understood ends in an InputError."""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fedspike.errors import InputError


class Parser(argparse.ArgumentParser):
    """Says which command or option was meant; the beginning of an option's name is not taken for it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self.words: Sequence[str] = ()
        self._within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; options may stand between FOLDER and a CODE that may be left out."""
        # Before Python 3.13 argparse does so in its intermixed way alone, which comes here again.
        if self._within:
            return super().parse_known_args(args, namespace)
        self.words = args
        if self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False

    @property
    def commands(self) -> Mapping[str, "Parser"]:
        """The commands of a group by their names; one in capitals stands for what has none."""
        groups = [one for one in self._actions if isinstance(one, argparse._SubParsersAction)]
        return {name: inner for group in groups for name, inner in group.choices.items()}

    @property
    def options(self) -> list[str]:
        """The long names of its options."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def error(self, message: str) -> NoReturn:
        """Raise InputError with what was meant, or end as argparse does."""
        if choice := re.search(r"invalid choice: '(.*?)'", message):
            raise self._no_command(choice[1])
        if wrong := re.search(r"argument (\S+): invalid (int|float) value: '(.*)'", message):
            from fedspike.reading import WORDS

            raise InputError(
                f"{self.prog}: {wrong[1]} {wrong[3]}",
                expected={kind.__name__: words for kind, words in WORDS.items()}[wrong[2]],
                fix=f"write it in digits, or see {self.prog} --help",
            )
        for word in self.words:  # what is missing may have been mistyped
            if word.startswith("--") and word.partition("=")[0] not in ("--", *self.options):
                raise self.unknown(word)
        if missing := re.search(r"arguments are required: (.*)", message):
            raise self._missing(missing[1])
        if alone := re.search(r"argument (\S+): expected", message):
            raise InputError(
                f"{self.prog}: nothing after {alone[1]}",
                expected=f"{alone[1]} {self._metavar(alone[1])}",
                fix=f"write its value, as {alone[1]}=VALUE where that begins with '-'",
            )
        if more := re.search(r"argument (\S+): ignored explicit argument '(.*)'", message):
            option = more[1].rpartition("/")[2]
            raise InputError(
                f"{self.prog}: {option}={more[2]}",
                expected=f"{option} alone, which has no value",
                fix=f"write {option}",
            )
        super().error(message)

    def unknown(self, word: str) -> InputError:
        """The error for a word that this command does not take, with the nearest of its options."""
        from fedspike.reading import nearest

        return InputError(
            f"{self.prog}: {word} is not known",
            expected=f"arguments and options as in: {self._synopsis()}",
            fix=nearest(
                word.partition("=")[0],
                self.options if word.startswith("-") else (),
                f"leave it out, or see {self.prog} --help",
            ),
        )

    def _no_command(self, word: str) -> InputError:
        """The error for a word that is no command here: one with nearly this name, or one of a group."""
        from fedspike.reading import nearest

        inside = {
            f"{inner.prog} {name}": name
            for inner in self.commands.values()
            for name in inner.commands
            if nearest(word, [name], "")
        }
        names = [name for name in self.commands if not name.isupper()]
        advice = "" if word in inside.values() else nearest(word, names, "")
        if inside and not advice:
            advice = f"did you mean {' or '.join(inside)}?"
        return InputError(
            f"{self.prog} {word}: no such command",
            expected=f"one of {', '.join(self.commands)}",
            fix=advice or nearest(word, names),
        )

    def _missing(self, names: str) -> InputError:
        """The error for a command that ends too early."""
        synopsis = f"arguments and options as in: {self._synopsis()}"
        return InputError(
            f"{self.prog}: {names} is missing",
            expected=f"one of {', '.join(self.commands)}" if self.commands else synopsis,
            fix=f"see {self.prog} --help",
        )

    def _synopsis(self) -> str:
        return " ".join(self.format_usage().split()[1:])

    def _metavar(self, option: str) -> str:
        action = self._option_string_actions.get(option.partition("/")[0])
        return str(action.metavar or "VALUE") if action else "VALUE"

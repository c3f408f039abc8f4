"""
Items and words of header rules: where a list may be cut, what is quoted, what is escaped.

Source: HAProxy manual 2.2 (quoting and escaping), 2.3 (environment variables); DFP splits lists at `SEPARATOR`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ESCAPED = frozenset(" \\#'\"$")
"""
What a backslash takes its meaning from; before anything else it stands for itself.
"""

OPENING = re.compile(r"%(?:\{([^{}\[\]]*)\})?\[")
"""
What an expression in a value begins with; the group holds its flags.
"""

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_HEX = re.compile(r"x[0-9A-Fa-f]{2}")


class InvalidExpression(ValueError):
    """
    Text that is none of the language; the message says what is wrong with it.
    """


def split_items(text: str, separator: str) -> list[str]:
    """
    Cut a list at its separator, but not within quotes, `%[...]` or `{ ... }`, where DFP tore items apart.

    Total: what is not closed goes on to the end, and `split_words` refuses it.
    """
    if not text:
        return []
    items: list[str] = []
    start = place = depth = 0
    quote = ""
    in_test = False
    while place < len(text):
        character = text[place]
        if character == "\\" and quote != "'" and text[place + 1 : place + 2] in ("\\", "'", '"', "%"):
            place += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif depth:
            depth += (character == "[") - (character == "]")
        elif in_test:
            in_test = not (character == "}" and _is_word(text, place))
        elif character == "{" and _is_word(text, place):
            in_test = True
        elif (opening := OPENING.match(text, place)) and (place == 0 or not _is_literal_percent(text, place)):
            depth, place = 1, opening.end() - 1
        elif text.startswith(separator, place):
            items.append(text[start:place])
            place += len(separator)
            start = place
            continue
        place += 1
    return [*items, text[start:]]


def _is_word(text: str, place: int) -> bool:
    """
    Whether the brace here stands alone, as those around a test do; `!` may stand before it.
    """
    return text[:place].rstrip("!")[-1:] in ("", " ", "\t") and text[place + 1 : place + 2] in ("", " ", "\t", ",")


def _is_literal_percent(text: str, place: int) -> bool:
    """
    Whether the `%` here is the second of a pair, which means a plain one.
    """
    count = 0
    while place > count and text[place - count - 1] == "%":
        count += 1
    return count % 2 == 1


def split_words(text: str, environment: Mapping[str, str]) -> list[str]:
    """
    Words as HAProxy reads them: quotes group and vanish, a backslash escapes, `#` begins a comment.

    Args:
        environment: what `$NAME` and `${NAME}` within double quotes stand for; unknown ones are empty.

    Raises:
        InvalidExpression: a quote is not closed, or a control character would come out.
    """
    words: list[str] = []
    word: list[str] = []
    begun = False
    quote = ""
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "\\" and quote != "'" and place < len(text):
            value, place = _escape(text, place)
            word.append(value)
            begun = True
        elif quote:
            if character == quote:
                quote = ""
            elif character == "$" and quote == '"' and (match := _VARIABLE.match(text, place - 1)):
                word.append(environment.get(match[1] or match[2], ""))
                place = match.end()
            else:
                word.append(character)
        elif character in "'\"":
            quote, begun = character, True
        elif character == "#":
            break
        elif character in " \t":
            if begun:
                words.append("".join(word))
            word, begun = [], False
        else:
            word.append(character)
            begun = True
    if quote:
        raise InvalidExpression(f"a quote {quote} is not closed")
    if begun:
        words.append("".join(word))
    for found in words:
        if any(ord(character) < 32 or ord(character) == 127 for character in found):
            raise InvalidExpression("control characters, such as line breaks, cannot be in a header rule")
    return words


def _escape(text: str, place: int) -> tuple[str, int]:
    """
    What stands behind a backslash, and where the text goes on.
    """
    character = text[place]
    if character in ESCAPED:
        return character, place + 1
    if character in "rnt":
        return {"r": "\r", "n": "\n", "t": "\t"}[character], place + 1
    if match := _HEX.match(text, place):
        return chr(int(match[0][1:], 16)), match.end()
    return "\\", place

"""
Paths and their criteria.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.pathtype import path_criterion, path_patterns
from dfproxy.model.match import PathForm, PathPattern

FORMS: dict[str, PathForm] = {
    "": "exact",
    "_beg": "prefix",
    "_end": "suffix",
    "_sub": "substring",
    "_reg": "regex",
    "_dir": "directory",
    "_dom": "domain",
    "_len": "length",
}


class PathTypeTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """
        Every criterion, on the path and on the whole target.
        """
        for suffix, form in FORMS.items():
            for fetch in ("path", "url"):
                (pattern,) = path_patterns(["7"], path_criterion(fetch + suffix))
                self.assertEqual(pattern, PathPattern(form, b"7", False, fetch == "url"))

    def test_default(self) -> None:
        """
        Without `pathType` paths are prefixes.
        """
        self.assertEqual(path_patterns(["/a"], path_criterion("")), (PathPattern("prefix", b"/a"),))

    def test_flags(self) -> None:
        """
        Flags hold for every path; the value keeps its case.
        """
        found = path_patterns(["/Demo", "/é"], path_criterion("path_beg -i"))
        self.assertEqual(found, (PathPattern("prefix", b"/Demo", True), PathPattern("prefix", b"/\xc3\xa9", True)))

    def test_bad_values(self) -> None:
        """
        Lengths must be numbers, regular expressions must compile.
        """
        for text, kind in (
            ("x", "path_len"),
            ("-1", "path_len"),
            ("1" * 50, "path_len"),
            ("\u0668", "path_len"),
            ("(", "path_reg"),
        ):
            self.assertRaises(ValueError, path_patterns, [text], path_criterion(kind))

    def test_length_is_canonical(self) -> None:
        """
        Two spellings of one length are equal, so that a change which changes nothing is seen as such.
        """
        self.assertEqual(
            path_patterns(["007"], path_criterion("path_len")), path_patterns(["7"], path_criterion("path_len"))
        )

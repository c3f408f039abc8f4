"""
The template language: what comes out, and what is refused.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dfproxy.dfp.gotemplate import FUNCTIONS, LONGEST_CHARS, InvalidTemplate, expand

SERVICE: dict[str, Any] = {
    "ServiceName": "web",
    "AclName": "",
    "Replicas": 3,
    "IsGlobal": True,
    "Words": ["a", "b"],
    "Nothing": None,
    "ServiceDest": [
        {"Port": "8080", "ServicePath": ["/a", "/b"], "Index": 1},
        {"Port": "81", "ServicePath": None, "Index": 2},
    ],
}


class ExpandTests(SynchronousTestCase):
    def test_what_comes_out(self) -> None:
        """
        As Go's text/template does it.
        """
        for template, wanted in (
            ("plain {text}", "plain {text}"),
            ("x{{.ServiceName}}y{{ .Replicas }}{{.IsGlobal}}{{.Nothing}}", "xweby3true"),
            (
                "{{range .ServiceDest}}{{$.ServiceName}}:{{.Port}}{{range .ServicePath}} {{.}}{{end}};{{end}}",
                "web:8080 /a /b;web:81;",
            ),
            ('{{if eq .ServiceName "api" "web"}}A{{else}}B{{end}}', "A"),
            ("{{if .AclName}}A{{else if .IsGlobal}}B{{else}}C{{end}}", "B"),
            ("{{if .AclName}}A{{else if .Nothing}}B{{else}}C{{end}}", "C"),
            ("{{range $i, $d := .ServiceDest}}{{if $i}},{{end}}{{$d.Port}}{{end}}", "8080,81"),
            ("{{range $d := .ServiceDest}}{{$d.Index}}{{end}}", "12"),
            ("{{$x := .Replicas}}{{if gt $x 2}}{{$x}}{{end}}", "3"),
            ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
            ("{{with .Words}}{{index . 1}}{{len .}}{{else}}x{{end}}", "b2"),
            ("a \n {{- /* words */ -}} \n b", "ab"),
            ("a \n {{- .ServiceName -}} \n b", "awebb"),
            ("{{- 3}} {{-3}}", "3 -3"),
            ("{{(index .ServiceDest 1).Port}}{{len (index .ServiceDest 0).ServicePath}}", "812"),
            ("{{.Words}}", "[a b]"),
            ('{{"a\\"b"}}{{`c\\d`}}', 'a"bc\\d'),
            ('{{if and .IsGlobal (not .AclName) (or .Nothing (ne .ServiceName "x"))}}yes{{end}}', "yes"),
            ("{{if le 2 2}}{{if lt 1 2}}{{if ge 2 2}}ok{{end}}{{end}}{{end}}", "ok"),
        ):
            self.assertEqual(expand(template, SERVICE).text, wanted, template)

    def test_refused(self) -> None:
        """
        What is not known is named, with its line.
        """
        for template, reason in (
            ("\n{{.Nope}}", "line 2: there is no field Nope here; known: AclName"),
            (
                "{{range .ServiceDest}}{{.ServiceName}}{{end}}",
                "line 1: there is no field ServiceName here; known: Index",
            ),
            ('{{printf "%s" .AclName}}', "line 1: function printf is not known; known: and, eq"),
            ("\n\n{{if .IsGlobal}}", "line 3: if has no end"),
            ("{{end}}", "line 1: end ends nothing"),
            ("{{else}}", "line 1: else ends nothing"),
            ("{{if .IsGlobal}}{{else}}{{else}}{{end}}", "line 1: else is not understood"),
            ("{{.ServiceName | len}}", "line 1: | is not understood here"),
            ("a\n{{.ServiceName", "line 2: {{ is not closed"),
            ('{{eq 1 "a"}}', "line 1: eq cannot be had of these values"),
            ("{{index .Words 9}}", "line 1: index cannot be had"),
            ("{{index .Words -1}}", "line 1: index cannot be had"),
            ("{{len 3}}", "line 1: len cannot be had"),
            ('{{template "x"}}', "line 1: function template is not known"),
            ('{{define "x"}}{{end}}', "line 1: function define is not known"),
            ("{{.ServiceDest.Port}}", "line 1: there is no field Port here"),
            ("{{.ServiceDest}}", "line 1: this is no text"),
            ("{{range .ServiceName}}{{end}}", "line 1: range needs a list"),
            ("{{$x}}", "line 1: variable $x is not known"),
            ("{{$x = 1}}", "line 1: variables are not changed"),
            ("{{if .IsGlobal}}{{$x := 1}}{{end}}{{$x}}", "line 1: variable $x is not known"),
            ("{{}}", "line 1: a value is missing"),
            ("{{not}}", "line 1: function not takes 1 values"),
            ("{{(.IsGlobal}}", "line 1: a parenthesis is not closed"),
            ("{{/* x}}", "line 1: a comment is not closed"),
            ("{{$a, $b := .Words}}", "line 1: only range has two variables"),
            ("{{if .IsGlobal}}" * 20, "line 1: actions may be nested 16 deep"),
            ("{{%s 1}}" % ("(" * 40), "line 1: parentheses may be nested 16 deep"),
        ):
            error = self.assertRaises(InvalidTemplate, expand, template, SERVICE)
            self.assertTrue(str(error).startswith(reason), f"{template}: {error}")

    def test_bounded(self) -> None:
        """
        Nested lists cannot take the proxy's time or memory.
        """
        many = {"L": ["x"] * 500}
        nested = "{{range $.L}}" * 3 + "y" + "{{end}}" * 3
        error = self.assertRaises(InvalidTemplate, expand, nested, many)
        self.assertIn("steps", str(error))
        error = self.assertRaises(InvalidTemplate, expand, "{{" * 32_000, many)  # minutes, if it were quadratic
        self.assertIn("is not closed", str(error))
        error = self.assertRaises(InvalidTemplate, expand, "{{range .L}}" + "y" * 200 + "{{end}}", many)
        self.assertIn(f"longer than {LONGEST_CHARS}", str(error))

    def test_values_are_no_templates(self) -> None:
        """
        What is put in is not run again (DFP did), and not escaped.
        """
        self.assertEqual(expand("{{.X}}", {"X": "{{.Y}} & <'>"}).text, "{{.Y}} & <'>")

    def test_fields_are_told(self) -> None:
        """
        Which fields were asked for, and only those that really were.
        """
        found = expand("{{if .AclName}}{{.Replicas}}{{end}}{{range .ServiceDest}}{{.Port}}{{end}}", SERVICE)
        self.assertEqual(found.fields, {"AclName", "ServiceDest", "Port"})

    @settings(max_examples=75)
    @given(
        st.lists(
            st.sampled_from(
                [
                    *(
                        "{{",
                        "}}",
                        "{{-",
                        "-}}",
                        " ",
                        ".",
                        "$",
                        "x",
                        "if",
                        "else",
                        "end",
                        "range",
                        "with",
                        "(",
                        ")",
                        '"',
                    ),
                    *(".Words", ".ServiceDest", ":=", ",", "|", "1", "\n", "/*", "*/", "`", *FUNCTIONS),
                ]
            ),
            max_size=30,
        )
    )
    def test_total(self, pieces: list[str]) -> None:
        """
        Whatever comes: a text or a refusal.
        """
        try:
            expand(" ".join(pieces), SERVICE)
            expand("".join(pieces), SERVICE)
        except InvalidTemplate as error:
            self.assertTrue(str(error).startswith("line "))

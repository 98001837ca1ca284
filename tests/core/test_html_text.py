from hypothesis import given
from hypothesis import strategies as st

from semantic_core.html_text import html_to_markdown
from semantic_core.splitting import Splitter

PAGE = """<!doctype html>
<html><head><title>Notes &amp; more</title>
<style>p { color: red }</style><script>if (a < b) { "<h1>no</h1>" }</script></head>
<body><h1>Cats <em>and</em> dogs</h1>
<p>One paragraph
over two lines.<br>A line of its own.</p>
<h2><div>Lists</div></h2>
<ul><li>first<li><p>second</p></ul>
<pre><code># no heading
  x = 1<br>  y = 2
</code></pre>
<table><tr><td>one</td><td>two</td></tr></table>
<template><p>never shown</p></template>
</body></html>
"""


def test_a_page_becomes_markdown() -> None:
    assert html_to_markdown(PAGE).split("\n\n") == [
        "Notes & more",
        "# Cats and dogs",
        "One paragraph over two lines.",
        "A line of its own.",
        "## Lists",
        "- first",
        "- second",
        "```\n# no heading\n  x = 1\n  y = 2\n```",
        "one two",
    ]


def test_headings_of_a_page_are_headings_of_its_pieces() -> None:
    found = list(Splitter().split(html_to_markdown(PAGE), format="markdown"))
    assert [piece.heading_path for piece in found] == [(), (), ("Cats and dogs",)]


def test_text_without_tags_stays() -> None:
    assert html_to_markdown("a < b & c &nbsp; d") == "a < b & c d"


def test_what_is_never_closed_does_not_swallow_what_came_before() -> None:
    assert html_to_markdown("<p>kept<pre>\n  kept\n<script>lost") == "kept\n\n```\n  kept\n```"


_TAGS = st.sampled_from(
    ["<p>", "</p>", "<h1>", "<pre>", "</pre>", "<li>", "<br>", "<script>", "</script>", "<![if x]>"]
)


@given(st.lists(st.one_of(_TAGS, st.text(max_size=9), st.sampled_from(["<![", "<!", "&#0;", "<"]))))
def test_any_input_gives_a_text(parts: list[str]) -> None:
    text = html_to_markdown("".join(parts))
    assert text == text.strip("\n")


@given(st.lists(st.text("abc<>&/! \n", max_size=9), max_size=9))
def test_words_between_known_tags_are_kept_in_order(words: list[str]) -> None:
    escaped = [word.replace("&", "&amp;").replace("<", "&lt;") for word in words]
    text = html_to_markdown("<p>" + "</p><p>".join(escaped) + "</p>")
    assert text.split() == " ".join(words).split()

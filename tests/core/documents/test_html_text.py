import html
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from semantic_core.documents.html_text import html_to_markdown
from semantic_core.documents.splitter import Splitter

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


@pytest.mark.parametrize(
    ("page", "markdown"),
    [
        ("<p># none</p>", "\\# none"),
        ("<p>#hashtag, C# and 1.5 - all fine</p>", "#hashtag, C# and 1.5 - all fine"),
        ("<p>1. none</p><p>2) none</p>", "1\\. none\n\n2\\) none"),
        ("<p>- none<br>+ none<br>* none", "\\- none\n\n\\+ none\n\n\\* none"),
        ("<p>```</p><h1>Real</h1><p>~~~", "\\```\n\n# Real\n\n\\~~~"),
        ("<p>&lt;!-- none</p><h1>Real</h1>", "\\<!-- none\n\n# Real"),
        ("<p>---</p><p>title: x</p><p>---</p>", "\\---\n\ntitle: x\n\n\\---"),
        ("<li># none", "- \\# none"),
        ("<h2>C #</h2>", "## C \\#"),
        ("<pre>```\n# none\n```</pre>", "````\n```\n# none\n```\n````"),
        ("<button>Save</button><button>Cancel</button>", "Save Cancel"),
        ("<a href=x>Home</a><a href=y>About</a>, a <a>cat</a>s", "Home About, a cats"),
        ("<label>Name</label><input value=x><select><option>a<option>b", "Name\n\na\n\nb"),
        ("<span>f</span><span>ine</span>", "fine"),
        ("See <img src=x alt='A red cat'>there<img alt=''>.", "See A red cat there."),
        ("Search<input type=image alt=Go>now", "Search Go now"),
        ("<h1><a><img alt='Logo'></a></h1><template><img alt='no'></template>", "# Logo"),
    ],
)
def test_what_only_looks_like_structure_is_none(page: str, markdown: str) -> None:
    assert html_to_markdown(page) == markdown


_LOOKALIKES = st.lists(
    st.sampled_from(
        [
            *("# x", "#", "```", "~~~", "<!--", "<pre>", "<script>", "<?php", "<div>", "[a]: b"),
            *("1. x", "1) x", "12.", "- x", "-", "* x", "+ x", "> x", "===", "---", "* * *", "___"),
            *(
                "a",
                "two words",
                "\\",
                "\\# x",
                "&lt;",
                "`",
                "``",
                "|a|",
                "    x",
                "\u00a0# x",
                "\t# x",
            ),
        ]
    ),
    min_size=1,
    max_size=3,
).map("\n".join)


@given(
    st.lists(st.tuples(st.sampled_from(["p", "h2", "pre", "div", "li"]), _LOOKALIKES), max_size=6)
)
def test_no_text_becomes_structure(parts: list[tuple[str, str]]) -> None:
    """As a reader of Markdown sees it: the headings and the code are those of the page."""
    page = "".join(f"<{tag}>{html.escape(text)}</{tag}>" for tag, text in parts)
    found = MarkdownIt("commonmark").parse(html_to_markdown(page))
    kinds = Counter(token.type for token in found)
    tags = Counter(tag for tag, _ in parts)
    assert (kinds["heading_open"], kinds["fence"]) == (tags["h2"], tags["pre"])
    assert set(kinds) <= {
        *("heading_open", "heading_close", "fence", "inline", "paragraph_open", "paragraph_close"),
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    }
    titles = [token.content for token in found if token.type == "inline"]
    assert all(titles)


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
    assert text.replace("\\", "").split() == " ".join(words).split()

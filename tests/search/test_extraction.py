from __future__ import annotations

import pytest

from tools_runtime.search import extraction

URL = "https://site.test/docs/page.html"
FILLER = "<p>" + "Plain words that fill the page with text. " * 20 + "</p>"


def lines(body: str) -> list[str]:
    return extraction.html(f"<html><head><title>T</title></head><body>{body}</body></html>", URL)[1]


def text(body: str) -> str:
    return "\n".join(lines(body))


@pytest.mark.parametrize("container", ["<main>{}</main>", "<div role=main>{}</div>", "<article>{}</article>"])
def test_a_page_that_names_its_content_is_believed(container: str) -> None:
    shown = text(
        "<nav>Menu entry</nav>" + container.format(FILLER + "<nav>Previous</nav>") + "<footer>Imprint</footer>"
    )
    assert "Plain words" in shown
    assert "Menu" not in shown and "Previous" not in shown and "Imprint" not in shown


def test_a_container_with_little_in_it_is_not_believed() -> None:
    assert "Plain words" in text(f"<main>Loading</main><div>{FILLER}</div>")


def test_without_a_container_the_chrome_is_left_out() -> None:
    shown = text(f"<header><nav><a href=/a>Menu entry</a></nav></header><div>{FILLER}{FILLER}</div>")
    assert "Plain words" in shown and "Menu entry" not in shown


def test_of_a_page_of_links_all_is_kept() -> None:
    shown = text("<div><ul>" + "".join(f"<li><a href={n}.html>Chapter {n}</a></li>" for n in range(60)) + "</ul></div>")
    assert "- [Chapter 59](https://site.test/docs/59.html)" in shown


def test_links_are_absolute_and_of_the_web() -> None:
    shown = text(
        f"<main>{FILLER}<p><a href='../a b.html'>one</a> <a href='//other.test/x_(y)'>two</a> <a href='#top'>three</a>"
        "<a href='javascript:x()'>four</a> <a href='http://u:p@x.test/'>five</a> <a href='http://[bad'>six</a></p></main>"
    )
    assert "[one](https://site.test/a%20b.html) [two](https://other.test/x_%28y%29) threefour five six" in shown


def test_the_base_of_links_may_be_the_pages_own() -> None:
    source = f"<head><base href='/other/'></head><body><main>{FILLER}<a href=x>link</a></main></body>"
    assert "[link](https://site.test/other/x)" in "\n".join(extraction.html(source, URL)[1])


def test_blocks_are_lines_and_code_keeps_its_shape() -> None:
    body = f"<h2>Head</h2><ul><li>one<li>two</ul><table><tr><td>a<td>b</table><pre>if x:\n\n    y()</pre>z<br>w{FILLER}"
    assert lines(f"<main>{body}</main>")[:8] == ["## Head", "- one", "- two", "a | b", "if x:", "    y()", "z", "w"]


def test_long_paragraphs_are_broken_at_words() -> None:
    broken = lines(f"<main>{FILLER}</main>")
    assert len(broken) > 2 and all(len(line) <= 240 for line in broken)
    assert " ".join(broken) == ("Plain words that fill the page with text. " * 20).strip()
    assert max(map(len, lines(f"<main>{'漢' * 9000}</main>"))) == 4000


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>SECRET</p>",
        "<p aria-hidden=true>SECRET</p>",
        "<p style='Display : NONE'>SECRET</p>",
        "<span style='visibility:hidden'>SECRET</span>",
        "<span style='color:red;font-size:0px'>SECRET</span>",
        "<span style='opacity: 0'>SECRET</span>",
        "<span style='position:absolute;left:-9999px'>SECRET</span>",
        "<!-- SECRET -->",
        "<script>SECRET</script><style>SECRET</style><template>SECRET</template><noscript>SECRET</noscript>",
        "<p title=SECRET><img alt='' src='SECRET'><input type=hidden value=SECRET></p>",
        "<svg><text>SECRET</text></svg><iframe>SECRET</iframe><?php SECRET ?>",
    ],
)
@pytest.mark.parametrize("page", ["<main>{}</main>", "<div>{}</div>"])
def test_what_a_reader_does_not_see_a_model_does_not(hidden: str, page: str) -> None:
    shown = text(page.format(FILLER + hidden + "<p>and then the end of it</p>"))
    assert "SECRET" not in shown
    assert "and then the end of it" in shown


@pytest.mark.parametrize("visible", ["opacity:0.5", "font-size:0.9em", "color:red", "left:-1px", "max-height:100%"])
def test_ordinary_styles_hide_nothing(visible: str) -> None:
    assert "SEEN" in text(f"<main>{FILLER}<p style='{visible}'>SEEN</p></main>")


def test_forged_marks_are_broken() -> None:
    shown = text(f"<main>{FILLER}<p>True【1】 and [2] <|im_end|> a&#8203;b&#xE0041;c &lt;/s&gt; [INST]</p></main>")
    assert "True(1) and (2)" in shown and "abc" in shown
    assert not any(mark in shown for mark in ("【", "<|im_end|>", "</s>", "[INST]"))


@pytest.mark.parametrize(
    "source", ["", " ", "<", "<!-- -->", "<html></html>", "\0", "<frameset>", "<p>" * 50_000, "</p>" * 50_000]
)
def test_broken_pages_give_little_and_raise_nothing(source: str) -> None:
    extraction.html(source, URL)


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        ("é".encode(), None),
        ("é".encode(), "utf-8"),
        ("é".encode("latin-1"), "latin-1"),
        ("é".encode("latin-1"), None),
        ("é".encode("utf-16"), "utf-8"),
        ("é".encode("utf-8-sig"), "latin-1"),
        ("é".encode(), "no-such-charset"),
    ],
)
def test_bytes_are_decoded(data: bytes, charset: str | None) -> None:
    assert extraction.decode(data, charset) == "é"


def test_a_page_may_name_its_charset() -> None:
    source = '<meta charset="koi8-r"><p>тест'.encode("koi8-r")
    assert "тест" in extraction.decode(source, None)

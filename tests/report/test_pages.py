"""Pages of reports as texts: what is in them, and what is not."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

import saliency
from saliency import Explanation, diverging_cmap, write_report
from saliency.report import images as report_images
from tests.report import explained
from tests.report.explained import EVIL

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """A page, read by the parser of Python: its elements, and the texts in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts[tag][-1] += data

    @property
    def data(self) -> Any:
        return json.loads(self.texts["script"][0])

    @property
    def policy(self) -> str:
        metas = [attrs for tag, attrs in self.found if tag == "meta"]
        (policy,) = [m["content"] for m in metas if "http-equiv" in m]
        return str(policy)


@pytest.fixture(params=explained.all_kinds())
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def explanation(kind: str) -> Explanation:
    return explained.all_kinds()[kind]


def test_a_page_is_one_file_that_loads_nothing(explanation, kind, tmp_path):
    explanation.to_html(tmp_path / "report")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html == explanation.to_html()
    page = Page(html)
    for tag, attrs in page.found:
        assert tag not in ("iframe", "object", "embed", "base")
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        assert attrs.get("src") is None
        assert attrs.get("href", "#")[0] == "#" or attrs["href"] == "data:,"
    (style,) = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    script = page.texts["script"][1]
    for name in ("fetch(", "XMLHttpRequest", "WebSocket", "innerHTML", "eval("):
        assert name not in script
    assert page.data["kind"] == kind


def test_the_policy_allows_these_scripts_alone(explanation):
    page = Page(explanation.to_html())
    policy = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"
    for name, text in (
        ("script-src", page.texts["script"][1]),
        ("style-src", page.texts["style"][0]),
    ):
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        assert policy[name] == f"'sha256-{base64.b64encode(digest).decode()}'"


@pytest.mark.parametrize("name", ["table", "image", "text"])
def test_what_the_user_says_is_text(name):
    given = explained.all_kinds()[name]
    n = len(given)
    evil = dataclasses.replace(
        given,
        index=np.array([EVIL] * n),
        class_names=[EVIL, EVIL],
        classes=np.zeros(n, int),
        calculator=EVIL,
        settings=EVIL,
        feature_names=None if given.feature_names is None else [EVIL, "b", "c"],
        element_names=None
        if given.element_names is None
        else [[EVIL, *text[1:]] for text in given.element_names],
    )
    html = saliency.report.report_html(
        {EVIL: evil}, title=EVIL, description=EVIL, command=[EVIL]
    )
    page = Page(html)
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert page.texts["title"] == page.texts["h1"] == [EVIL]
    assert EVIL in page.texts["header"][0]
    assert page.data["names"] == [EVIL] * n
    assert page.data["methods"][0]["name"] == EVIL
    assert "</script><script>window" not in html


def test_control_characters_and_surrogates_can_be_written(tmp_path):
    given = explained.table(2, title="a\ud800\0b")
    write_report(tmp_path / "it.htm", given, title="\ud800title\x07")
    page = Page((tmp_path / "it.htm").read_text(encoding="utf-8"))
    assert page.texts["h1"] == ["title"]
    assert page.data["content"]["features"][0] == "ab"


def test_a_page_is_the_same_each_time(explanation):
    assert explanation.to_html() == explanation.to_html()


class TestWords:
    def test_of_a_table(self):
        page = Page(explained.table().to_html(description="A network.\n\nOf iris."))
        (head,) = page.texts["header"]
        assert "Which features speak for virginica, and which against?" in head
        assert "petal has the most influence" in page.texts["p"][0]
        assert "A network.\n\nOf iris." in head
        assert "scores add up to f(x) \N{MINUS SIGN} f(baseline) within" in head
        assert "30 with 3 features" in head
        strength = np.abs(explained.table().values).mean(axis=0)
        assert f"{strength[0] / strength.sum():.0%}"[:-1] in page.texts["p"][0]

    def test_of_rows_with_numbers(self):
        given = dataclasses.replace(explained.table(3), index=np.array([7, 8, 12]))
        names = Page(given.to_html()).data["names"]
        assert names == ["example 7", "example 8", "example 12"]

    def test_of_sums_that_miss(self):
        given = explained.table()
        given = dataclasses.replace(given, scores=given.scores + 0.25)
        assert "scores miss f(x) \N{MINUS SIGN} f(baseline) by 0.25" in given.to_html()

    def test_of_tokens(self):
        page = Page(explained.texts().to_html())
        assert "good (+2, mean of 4) speaks for it most" in page.texts["p"][0]
        assert "film0 (\N{MINUS SIGN}1, once) speaks against it" in page.texts["p"][0]
        assert "M=5, seed=3" in page.texts["table"][-1]

    def test_of_images(self):
        values = np.zeros((1, 8, 8))
        values[0, 1, :2] = 3, 1
        given = Explanation(values, images=[np.zeros((8, 8, 3), np.uint8)])
        answer = Page(given.to_html()).texts["p"][0]
        assert "lies in 1.6\N{NO-BREAK SPACE}% of" in answer  # one of 64

    def test_of_nothing(self, explanation):
        none = dataclasses.replace(explanation, values=explanation.values * 0)
        assert "All scores are 0." in none.to_html()


class TestTables:
    def test_numbers_are_those_of_the_explanation(self):
        given = explained.table()
        data = Page(given.to_html()).data
        content, method = data["content"], data["methods"][0]
        np.testing.assert_allclose(content["values"][0][0], given.values, rtol=1e-4)
        np.testing.assert_allclose(content["x"], given.data, rtol=1e-4)
        np.testing.assert_allclose(method["f"][0], given.scores, rtol=1e-4)
        np.testing.assert_allclose(method["base"][0], given.base_values, rtol=1e-4)
        (means,) = content["summary"][0]
        expected = np.abs(given.values).mean(axis=0)
        np.testing.assert_allclose(means["strength"], expected, rtol=1e-4)
        assert method["adds"]

    def test_large_outputs_are_the_ends_of_their_sums(self):
        """Outputs such as years or kelvins differ little, beside what they are."""
        given = explained.table()
        start, values = 2011.874, given.values / 100
        bases = np.full(len(given), start)
        given = dataclasses.replace(
            given, values=values, base_values=bases, scores=start + values.sum(axis=1)
        )
        data = Page(given.to_html()).data
        (end,), (base,) = data["methods"][0]["f"], data["methods"][0]["base"]
        found = np.array(data["content"]["values"][0][0])
        rest = np.subtract(end, base) - found.sum(axis=1)
        assert (abs(rest) < 1e-4 * abs(found).sum(axis=1)).all()

    def test_classes_are_not_mixed(self):
        given = explained.table()
        classes = (given.data[:, 0] > 0).astype(int)
        given = dataclasses.replace(given, classes=classes)
        for means in Page(given.to_html()).data["content"]["summary"][0]:
            rows = classes == ["setosa", "virginica"].index(means["class"])
            assert means["n"] == rows.sum()
            expected = given.values[rows].mean(axis=0)
            np.testing.assert_allclose(means["mean"], expected, rtol=1e-4)

    def test_classes_of_one_name_are_not_mixed_either(self):
        given = Explanation(
            np.arange(6.0).reshape(3, 2), classes=[0, 1, 0], class_names=["ox", "ox"]
        )
        data = Page(given.to_html()).data
        assert data["methods"][0]["classOf"] == ["ox", "1: ox", "ox"]
        means = data["content"]["summary"][0]
        assert [(one["class"], one["n"]) for one in means] == [("ox", 2), ("1: ox", 1)]

    def test_an_axis_of_classes(self):
        values = np.random.default_rng(0).normal(size=(5, 2, 3))
        given = Explanation(
            values,
            errors=abs(values),
            classes=np.tile([0, 1], (5, 1)),
            class_names=["no", "yes"],
            scores=values.sum(axis=2),
        )
        data = Page(given.to_html()).data
        assert data["classes"] == ["no", "yes"]
        found = np.array(data["content"]["values"][0])
        np.testing.assert_allclose(found, np.moveaxis(values, 1, 0), rtol=1e-4)

    def test_codes_have_all_their_digits(self):
        data = np.array([[94913, 20240131, -4.5], [101325.37, np.nan, 0.123456]])
        given = dataclasses.replace(explained.table(2), data=data)
        assert Page(given.to_html()).data["content"]["x"] == [
            [94913, 20240131, -4.5],
            [101325, None, 0.12346],
        ]

    def test_missing_values_of_features(self):
        given = explained.table(2)
        data = given.data.copy()
        data[0, 1] = np.nan
        page = Page(dataclasses.replace(given, data=data).to_html())
        assert page.data["content"]["x"][0][1] is None
        relative = base64.b64decode(page.data["content"]["relative"])
        assert relative[1] == 255
        assert max(relative[:1] + relative[2:]) < 255

    def test_magnitudes_are_not_signed(self):
        given = dataclasses.replace(explained.table(), method="abs")
        page = Page(given.to_html())
        method = page.data["methods"][0]
        assert not method["signed"]
        assert not method["adds"]
        assert page.texts["h1"] == ["Which features influence virginica?"]

    @pytest.mark.large
    def test_of_very_many_numbers_some_are_shown(self):
        page = Page(Explanation(np.ones((4000, 700))).to_html())
        assert "of which the page shows the first" in page.texts["header"][0]
        (values,) = page.data["content"]["values"][0]
        assert len(values) == len(page.data["names"]) < 4000


class TestImages:
    def decoded(self, packed: Any) -> np.ndarray:
        steps = np.frombuffer(zlib.decompress(base64.b64decode(packed["q"])), np.uint8)
        steps = steps.reshape(packed["h"], packed["w"]).cumsum(axis=1, dtype=np.uint8)
        return steps.view(np.int8) * packed["step"]

    def test_maps_are_exact_to_half_a_step(self):
        given = explained.images()
        content = Page(given.to_html()).data["content"]
        for packed, scores in zip(content["maps"][0][0], given.values):
            assert packed["step"] == pytest.approx(abs(scores).max() / 127)
            found = self.decoded(packed)
            assert abs(found - scores).max() <= packed["step"] * 0.5001

    def test_photographs_are_those_given(self):
        given = explained.images(side=16)
        content = Page(given.to_html()).data["content"]
        for address, image in zip(content["photographs"], given.images):
            kind, _, text = address.partition(",")
            assert kind == "data:image/png;base64"  # small ones have no losses
            with Image.open(io.BytesIO(base64.b64decode(text))) as found:
                np.testing.assert_array_equal(np.asarray(found), image)

    def test_channels_are_summed(self):
        values = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
        given = Explanation(values, data=np.full((2, 3, 8, 8), 0.5, np.float32))
        content = Page(given.to_html()).data["content"]
        found = self.decoded(content["maps"][0][0][1])
        np.testing.assert_allclose(found, values[1].sum(axis=0), atol=0.1)
        assert len(content["photographs"]) == 2  # the data may be shown

    def test_channels_of_float16_are_summed_beyond_it(self):
        values = np.full((1, 3, 4, 4), 3e4, np.float16)
        content = Page(Explanation(values, images=np.ones((1, 4, 4))).to_html()).data
        found = self.decoded(content["content"]["maps"][0][0][0])
        np.testing.assert_allclose(found, values.astype("d").sum(axis=1)[0])

    def test_without_photographs(self):
        given = Explanation(np.ones((1, 3, 8, 8)), data=np.full((1, 3, 8, 8), -3.0))
        assert Page(given.to_html()).data["content"]["photographs"] is None

    def test_colours_are_those_of_the_pictures(self):
        ramp = Page(explained.images().to_html()).data["ramps"]["light"]["signed"]
        colors = re.findall(".{6}", ramp["colors"])
        for at, color in ((0.0, colors[0]), (0.5, colors[64]), (1.0, colors[-1])):
            assert f"#{color}" == to_hex(diverging_cmap(at))

    @pytest.mark.large
    def test_many_images_are_smaller(self, tmp_path, monkeypatch):
        """A hundred where there is a fifth of the room that there is."""
        for name in ("_ROOM_OF_MAPS", "_ROOM_OF_PHOTOGRAPHS"):
            monkeypatch.setattr(report_images, name, getattr(report_images, name) // 5)
        rng = np.random.default_rng(0)
        values = rng.normal(size=(100, 224, 224)).astype(np.float32)  # the worst case
        photographs = rng.integers(0, 255, size=(100, 224, 224, 3)).astype(np.uint8)
        given = Explanation(values, images=photographs)
        write_report(tmp_path / "it.html", {"one": given, "other": given})
        html = (tmp_path / "it.html").read_text(encoding="utf-8")
        assert 5 * len(html) < 30e6
        packed = Page(html).data["content"]["maps"][0][0][7]
        assert packed["w"] < 224
        # Each score is the mean over what it stands for: noise becomes weaker.
        size = 224 / packed["w"]
        assert self.decoded(packed).std() == pytest.approx(1 / size, rel=0.15)
        assert "are shown in" in html


class TestMolecules:
    @pytest.mark.parametrize(
        ("smiles", "expected"),
        [
            ("CCO", ["C", "C", "O"]),
            ("ClC(Br)=N", ["Cl", "C", "Br", "N"]),
            ("c1cc[nH]c1", ["c", "c", "c", "[nH]", "c"]),
            ("[13CH4].[Na+]", ["[13CH4]", "[Na+]"]),
            ("C%11CCCC%11 ring", ["C"] * 5),
            ("F/C=C/F", ["F", "C", "C", "F"]),
            ("[H]OC([H])([H])[2H]", ["O", "C", "[2H]"]),
            ("[H][H]", ["[H]", "[H]"]),
            ("C[C@@H](*)N", ["C", "[C@@H]", "*", "N"]),
        ],
    )
    def test_letters_of_smiles_belong_to_atoms(self, smiles, expected):
        n = len(expected)
        given = Explanation(np.ones((1, n)), molecules=[smiles])
        (molecule,) = Page(given.to_html()).data["content"]["molecules"]
        pieces = molecule["smiles"]
        assert "".join(text for text, _ in pieces) == smiles.split()[0]
        found = {i: text for text, i in pieces if i is not None}
        assert [found[i] for i in range(n)] == expected

    def test_molecules_in_another_order_have_a_smiles_of_their_own(self):
        chem = pytest.importorskip("rdkit.Chem")
        mol = chem.RenumberAtoms(chem.MolFromSmiles("NCCO"), [3, 0, 2, 1])
        mol = chem.AddHs(mol)
        n = mol.GetNumAtoms()
        given = Explanation(np.arange(float(n))[None], molecules=[mol])
        (molecule,) = Page(given.to_html()).data["content"]["molecules"]
        letters = {i: text for text, i in molecule["smiles"] if i is not None}
        assert len(letters) == n
        for i, atom in enumerate(mol.GetAtoms()):
            assert atom.GetSymbol() in letters[i]
        assert sorted(i for i, _, _ in molecule["atoms"]) == list(range(n))

    def test_atoms_lie_within_the_structure(self):
        for molecule in Page(explained.molecules().to_html()).data["content"][
            "molecules"
        ]:
            left, top, width, height = molecule["box"]
            for _, x, y in molecule["atoms"]:
                assert left < x < left + width
                assert top < y < top + height
            assert all(len(pair) == 2 for pair in molecule["bonds"])


class TestMethods:
    def test_side_by_side(self):
        given = explained.table()
        other = dataclasses.replace(given, values=-given.values, base_values=None)
        page = Page(saliency.report.report_html({"one": given, "other": other}))
        assert [m["name"] for m in page.data["methods"]] == ["one", "other"]
        assert "By one, " in page.texts["p"][0]
        assert page.data["methods"][1]["base"] is None

    def test_names_of_rows_may_be_missing(self):
        one, other = (Explanation(np.ones((3, 2)), index=[1, np.nan, 3]) for _ in "ab")
        page = Page(saliency.report.report_html({"one": one, "other": other}))
        assert page.data["names"] == ["1.0", "nan", "3.0"]
        moved = Explanation(np.ones((3, 2)), index=[1, 3, np.nan])
        with pytest.raises(ValueError, match=r"differ in their.* index"):
            saliency.report.report_html({"one": one, "moved": moved})

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (explained.table(29), "number of examples"),
            (explained.texts(30), "kind"),
            (explained.table(30, "x"), "features"),
            (dataclasses.replace(explained.table(), index=np.arange(30)), "index"),
            (dataclasses.replace(explained.table(), classes=np.zeros(30, int)), "cla"),
        ],
    )
    def test_of_other_data_are_refused(self, other, message):
        with pytest.raises(ValueError, match=f"differ in their.* {message}"):
            saliency.report.report_html({"one": explained.table(), "other": other})


class TestWrongArguments:
    @pytest.mark.parametrize("given", [None, [explained.table()], np.ones((2, 2))])
    def test_no_explanations(self, given):
        with pytest.raises(TypeError, match="explanations must be an Explanation"):
            write_report("it.html", given)

    def test_no_explanation_of_a_method(self):
        with pytest.raises(TypeError, match=r"explanations\['a'\] must be an Expl"):
            write_report("it.html", {"a": np.ones(3)})

    def test_none_at_all(self):
        with pytest.raises(ValueError, match="at least one"):
            write_report("it.html", {})
        with pytest.raises(ValueError, match="has no examples"):
            write_report("it.html", explained.table()[:0])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (Explanation(np.ones((2, 3, 4))), "pass ch_axis"),
            (Explanation(np.ones((2, 3)), lengths=np.array([2, 3])), "element_names"),
            (Explanation(np.array([[np.inf]])), "finite"),
        ],
    )
    def test_what_no_page_shows(self, given, message):
        with pytest.raises(ValueError, match=message):
            given.to_html()

    @pytest.mark.parametrize("path", ["it.pdf", "no/such/folder/it.html"])
    def test_paths(self, path, tmp_path):
        with pytest.raises(ValueError, match="path="):
            write_report(tmp_path / path, explained.table())
        with pytest.raises(TypeError, match="path must be a str"):
            write_report(None, explained.table())

    @pytest.mark.parametrize("name", ["title", "description"])
    def test_texts(self, name):
        with pytest.raises(TypeError, match=f"{name} must be a str"):
            explained.table().to_html(**{name: 3})

    @pytest.mark.parametrize("command", ["report it.csv", ["report", 3]])
    def test_commands(self, command):
        with pytest.raises(TypeError, match="command must be"):
            saliency.report.report_html(explained.table(), command=command)


def test_assets_come_with_the_package():
    text = (Path(saliency.__file__).parents[1] / "pyproject.toml").read_text()
    assert '"saliency.report" = ["assets/*"]' in text


def test_an_evaluation_is_a_section_of_texts():
    result = saliency.metrics.MetricResult(EVIL, np.arange(3.0), None, "signed")
    found = saliency.metrics.Evaluation({(EVIL, EVIL): result, ("b", EVIL): result})
    explanation = Explanation(np.ones((3, 2)), feature_names=["a", "b"])
    without = saliency.report.report_html(explanation)
    page = saliency.report.report_html(explanation, evaluation=found)
    assert 'id="evaluation"' not in without
    of_page, of_plain = Page(page), Page(without)
    assert len(of_page.texts["script"]) == len(of_plain.texts["script"])
    assert of_page.texts["table"][0].count(EVIL) == 2  # the column, and the row
    with pytest.raises(TypeError, match=r"evaluation must be what .* got dict"):
        saliency.report.report_html(explanation, evaluation={})

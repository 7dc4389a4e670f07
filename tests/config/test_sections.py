"""Every key has a meaning, allowed values and a source; its default is an allowed value."""

from collections import Counter
from pathlib import Path

import pytest
from detectron2.config import get_cfg

from boxrefine_d2.cli.config_keys import names_in
from boxrefine_d2.config import Key, Section, add_section, boxrefine_cfg
from boxrefine_d2.config.checks import check_value, leaves
from boxrefine_d2.config.detectron2_limits import DETECTRON2_LIMITS
from boxrefine_d2.config.known import known_sections, limit_of
from boxrefine_d2.config.limits import SHARE, several, whole
from boxrefine_d2.config.reference import reference_page, reference_text
from boxrefine_d2.config.sections import OUR_SECTIONS
from boxrefine_d2.errors import UserError

KEYS = [(section, name, key) for section in OUR_SECTIONS for name, key in section.full_keys()]
IDS = [name for _, name, _ in KEYS]
PAGE = Path(__file__).parents[2] / "docs/reference/config.md"


def none_known(registry):
    return ()


@pytest.fixture
def fog():
    """Return a section of another package; it is removed after the test."""
    from boxrefine_d2.config import known, paper_profile

    section = Section("DISCOVERY.FOG", "Fog.", {"DENSITY": Key(0.5, "How thick it is.", SHARE)})
    yield section
    known._added.pop(section.name, None)
    paper_profile.cache_clear()


@pytest.mark.parametrize(("section", "name", "key"), KEYS, ids=IDS)
def test_a_key_is_described(section, name, key):
    for text in (key.meaning, section.meaning):
        assert text[0].isupper() or text.startswith(("h ", "g ", "f ")), text
        assert text.endswith("."), text
    assert (key.allowed is None) == isinstance(key.default, bool)
    check_value(name, key.default, key.default)


def test_most_keys_have_a_source():
    without = {section.name for section, _, key in KEYS if not (key.source or section.source)}
    assert without == {"DISCOVERY"}  # the default rule is a choice of this package's front page


def test_no_key_has_two_homes():
    assert [name for name, count in Counter(IDS).items() if count > 1] == []
    assert not set(IDS) & dict(leaves(get_cfg())).keys() - {"SEED", "LOG_PERIOD"}
    assert not set(IDS) & DETECTRON2_LIMITS.keys()


@pytest.mark.parametrize(
    "key", [pytest.param(k, id=n) for _, n, k in KEYS if k.allowed and k.allowed.registries]
)
def test_a_registry_that_a_key_names_knows_its_default(key):
    known = [entry for registry in key.allowed.registries for entry in names_in(registry)]
    assert key.default in known


def test_limits_of_detectron2_s_keys_hold_for_its_defaults():
    defaults = dict(leaves(boxrefine_cfg()))
    for name, limit in DETECTRON2_LIMITS.items():
        assert limit.holds(defaults[name]), name


def test_every_key_that_is_read_has_a_limit():
    unread = ("MODEL.RETINANET.", "MODEL.PANOPTIC_FPN.", "MODEL.ROI_KEYPOINT_HEAD.", "GLOBAL.")
    unread += ("MODEL.SEM_SEG_HEAD.", "TEST.AUG.", "INPUT.CROP.", "DATASETS.P", "TEST.KEYPOINT")
    # `held`: restricted to this package's ways of loading, see detector_settings; `free`: no limit
    held = {"INPUT.RANDOM_FLIP", "INPUT.FORMAT", "DATALOADER.SAMPLER_TRAIN"}
    free = {"MODEL.ANCHOR_GENERATOR.ANGLES", "MODEL.RPN.BOUNDARY_THRESH", "MODEL.WEIGHTS"}
    free |= {"DATALOADER.REPEAT_THRESHOLD", "SOLVER.REFERENCE_WORLD_SIZE"}
    for name, value in leaves(boxrefine_cfg()):
        if isinstance(value, bool) or name in held | free or name.startswith(unread):
            continue
        assert limit_of(name) or name.endswith("NAME"), name


def test_an_added_section_is_in_every_configuration(fog):
    add_section(fog)
    assert boxrefine_cfg().DISCOVERY.FOG.DENSITY == 0.5
    with pytest.raises(UserError, match=r"DISCOVERY\.FOG\.DENSITY 2\.0: must be from 0 to 1"):
        check_value("DISCOVERY.FOG.DENSITY", 2.0, 0.5)
    assert "DISCOVERY.FOG.DENSITY = 0.5" in reference_text("DISCOVERY.FOG", none_known)


def test_another_package_cannot_replace_our_sections():
    with pytest.raises(ValueError, match="REFINE is a section of boxrefine_d2"):
        add_section(Section("REFINE", "Mine.", {}))


def test_the_page_has_every_key_and_equals_the_committed_page():
    """After a change: `boxrefine config --markdown > docs/reference/config.md`."""
    page = reference_page(names_in)
    assert page == PAGE.read_text(encoding="utf-8")
    for section in known_sections():
        assert section.name in page
        for name, key in section.keys.items():
            assert f"| `{name}` | `{key.default!r}` |" in page
    assert "dino_vits16" in page and "qkv\\_as\\_image" in page


def test_the_text_of_a_key_of_a_section_and_of_an_unknown_name():
    key = reference_text("refine.reg_reduction", none_known)
    assert "REFINE.REG_REDUCTION = 'sum'" in key and "one of 'sum', 'mean'" in key
    assert key.count(" = ") == 1
    section = reference_text("REFINE", none_known)
    assert "REFINE.DRIFT.PERIOD = 500" in section and "DISCOVERY" not in section.split("\n", 1)[0]
    with pytest.raises(UserError, match="no key or section 'REFIN'; sections: "):
        reference_text("REFIN", none_known)


@pytest.mark.parametrize(
    ("limit", "good", "bad"),
    [
        (whole(2, 4), (2, 4), (1, 5)),
        (several(SHARE, 2, 2, order="rising"), ((0.1, 0.1), (0, 1)), ((0.2, 0.1), (0.1,), (0, 2))),
        (several(whole(1), order="strictly rising"), ((), (1, 2)), ((1, 1),)),
    ],
    ids=["whole", "rising", "strictly rising"],
)
def test_a_limit_holds_for_the_values_in_its_text(limit, good, bad):
    assert all(map(limit.holds, good))
    assert not any(map(limit.holds, bad))

"""Phrases and categories of stamps."""

import pytest


@pytest.mark.parametrize(
    ("name", "description", "phrase"),
    [
        ("birds/peacock.png", "A peacock (a male peafowl).", "a peacock"),
        ("food/broccoli.png", "Eat your broccoli!", "broccoli"),
        ("a/lionfish.png", "Don’t touch! A lionfish.", "lionfish"),
        ("a/cep-2.png", "It’s a cep.", "cep"),
        ("a/wrench.png", " A plumber’s wrench. ", "a plumber's wrench"),
        ("a/hoverfly.png", "A hoverfly resembles a honeybee drone.", "hoverfly"),
        ("xmas/Candy_cane_photo_1.png", "", "candy cane"),
        ("v/chineseJunk2.png", "", "chinese junk"),
        ("m/ww2_german_gun.png", "", "ww2 german gun"),
        ("space/42.png", "", "42"),
    ],
)
def test_phrases(module, name, description, phrase):
    assert module("cutout_labels").phrase_of(name, description) == phrase


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("animals/birds/crow.png", "animal"),
        ("animals/mammals/bears/toys/edward.png", "object"),
        ("military/vehicles/bradley.png", "vehicle"),
        ("military/paratrooper.png", "object"),
        ("plants/rose.png", "plant"),
        ("rose.png", "object"),
    ],
)
def test_categories(module, name, category):
    assert module("cutout_labels").category_of(name) == category

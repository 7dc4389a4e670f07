import torch

from boxrefine_d2.networks.recurring import OncePerInput


def test_a_row_above_the_limit_is_returned_and_not_kept():
    computed = []

    def compute(images):
        computed.extend(map(len, images))
        return [(image.clone(),) for image in images]

    once = OncePerInput(compute, limit_bytes=16)
    small, large = torch.arange(4.0), torch.arange(5.0)
    once([small], "a")
    [[row]] = once([large], "b")
    assert torch.equal(row, large)
    once([small, large], "ab")  # a is still there
    assert computed == [4, 5, 5]


def test_inputs_without_a_name_are_computed_together_each_time():
    computed = []

    def compute(images):
        computed.append(len(images))
        return [(image,) for image in images]

    once = OncePerInput(compute)
    images = [torch.zeros(1), torch.ones(1)]
    for _ in range(2):
        once(images, ["a", None])
    assert computed == [2, 2]


def test_what_was_kept_is_computed_anew_after_forget():
    computed = []

    def compute(images):
        computed.append(len(images))
        return [(image,) for image in images]

    once = OncePerInput(compute)
    once([torch.zeros(1)], "a")
    once([torch.zeros(1)], "a")
    once.forget()
    once([torch.zeros(1)], "a")
    assert computed == [1, 1]

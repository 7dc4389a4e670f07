import torch

from boxrefine_d2.networks.recurring import RecurringInputs


def test_a_row_above_the_limit_is_returned_and_not_kept():
    recurring, computed = RecurringInputs(limit_bytes=16), []

    def compute(image):
        computed.append(len(image))
        return (image.clone(),)

    small, large = torch.arange(4.0), torch.arange(5.0)
    recurring.rows("a", [small], compute)
    [[row]] = recurring.rows("b", [large], compute)
    assert torch.equal(row, large)
    recurring.rows("ab", [small, large], compute)  # a is still there
    assert computed == [4, 5, 5]

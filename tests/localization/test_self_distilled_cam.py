"""SD-CAM: loss and activation by values that were derived by hand."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.localization.self_distilled_cam import distillation_loss
from boxrefine_d2.networks.distilled_heads import HeadsForm, new_heads, read_heads
from boxrefine_d2.networks.image_classifier import pixel_maps


def test_the_loss_of_the_example():
    teacher, student = torch.tensor([[3.0, 1, 0]]), torch.tensor([[1.0, 2, 0]])
    ce = F.cross_entropy(student, torch.tensor([0])).item()
    kl = distillation_loss(teacher, student, 3.0).item()
    assert ce == pytest.approx(1.407606, abs=1e-6)
    assert kl == pytest.approx(0.100081, abs=1e-6)
    assert 0.3 * ce + 0.7 * kl == pytest.approx(0.492338, abs=1e-6)


def test_the_teacher_learns_nothing_from_the_student():
    teacher = torch.tensor([[3.0, 1, 0]], requires_grad=True)
    student = torch.tensor([[1.0, 2, 0]], requires_grad=True)
    distillation_loss(teacher, student, 3.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def heads():
    return new_heads(HeadsForm("dino_mini", ("cat", "dog", "owl")), "random:1", seed=0)


def test_the_activation_of_the_example_and_its_seed(heads):
    with torch.no_grad():
        heads.student.weight[0].zero_()
        heads.student.weight[0, :2] = torch.tensor([1.0, 0.5])
    patches = torch.zeros(1, 192, 2, 2)
    patches[0, 0] = torch.tensor([[1.0, 2], [0, 1]])
    patches[0, 1] = torch.tensor([[0.0, 1], [2, 0]])
    activation = heads.activation(patches, torch.tensor([0]))
    assert activation[0].tolist() == [[1, 2.5], [1, 1]]
    assert (pixel_maps(activation, (2, 2)) > 0.6)[0].tolist() == [[False, True], [False, False]]


def test_only_the_heads_learn(heads):
    learning = {name.split(".")[0] for name, p in heads.named_parameters() if p.requires_grad}
    assert learning == {"teacher", "student"}


def test_a_file_gives_the_same_map(heads, tmp_path):
    from boxrefine_d2.files.safetensors_file import safetensors_bytes

    file = tmp_path / "heads.safetensors"
    file.write_bytes(safetensors_bytes(heads.state_dict(), heads.file_facts()))
    again = read_heads(file)
    images = torch.rand(2, 3, 32, 48)
    torch.testing.assert_close(again(images).data, heads(images).data)
    assert again.form == heads.form

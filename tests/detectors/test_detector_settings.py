"""Configuration of a detector on this machine, and keys that would be ignored."""

import logging

import pytest
import torch
from detectron2.utils import comm

from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.detectors.detector_settings import check_parts, with_local_norms, with_scaled_rate
from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config

SYNCED = ("MODEL.RESNETS.NORM", "MODEL.FPN.NORM")  # keys of CutLER's configuration


def config(*opts, file="configs/cutler_mask.yaml"):
    cfg = load_config(file, ["MODEL.DEVICE", "cpu", *opts])
    cfg.freeze()
    return cfg


def value(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.fixture
def notes(caplog):
    caplog.set_level(logging.INFO, logger="boxrefine_d2.detectors.detector_settings")
    return caplog


@pytest.mark.parametrize(
    ("processes", "device", "why"),
    [(1, "cuda", "a single process"), (1, "cpu", "a single process"), (2, "cpu", "CPUs")],
)
def test_synchronised_norms_are_local_in_one_process_and_on_cpus(
    monkeypatch, notes, processes, device, why
):
    monkeypatch.setattr(comm, "get_world_size", lambda: processes)
    given = config()
    given.defrost()
    given.MODEL.DEVICE = device
    given.freeze()
    local = with_local_norms(given)
    assert {value(local, key) for key in SYNCED} == {"BN"}
    assert {value(given, key) for key in SYNCED} == {"SyncBN"} and local.is_frozen()
    expected = f"SyncBN is replaced by BN for {why}: MODEL.RESNETS.NORM, MODEL.FPN.NORM"
    assert notes.messages == [expected]


def test_several_gpus_keep_synchronised_norms(monkeypatch, notes):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    given = config()
    given.defrost()
    given.MODEL.DEVICE = "cuda"
    assert with_local_norms(given) is given
    assert not notes.messages


def test_norms_of_heads_are_replaced_too_and_other_norms_stay():
    opts = ("MODEL.ROI_BOX_HEAD.NORM", "SyncBN", "MODEL.ROI_MASK_HEAD.NORM", "SyncBN")
    local = with_local_norms(config(*opts, "MODEL.FPN.NORM", "GN"))
    assert local.MODEL.ROI_BOX_HEAD.NORM == local.MODEL.ROI_MASK_HEAD.NORM == "BN"
    assert local.MODEL.FPN.NORM == "GN"
    frozen = config("MODEL.RESNETS.NORM", "FrozenBN", "MODEL.FPN.NORM", "")
    assert with_local_norms(frozen) is frozen


@pytest.mark.parametrize(("batch", "rate"), [(4, 0.0025), (64, 0.04)])
def test_the_rate_is_linear_in_the_batch_size_and_is_logged(notes, batch, rate):
    given = config("SOLVER.IMS_PER_BATCH", str(batch))  # its rate is 0.01 for 16 images
    local = with_scaled_rate(given)
    torch.testing.assert_close(local.SOLVER.BASE_LR, rate)
    assert local.is_frozen()
    assert given.SOLVER.BASE_LR == 0.01
    assert notes.messages == [
        f"SOLVER.BASE_LR 0.01 belongs to batches of 16 images; for batches of {batch} it is scaled "
        f"to {rate:g} (SOLVER.REFERENCE_BATCH 0 keeps it)"
    ]


@pytest.mark.parametrize(
    "opts",
    [("SOLVER.IMS_PER_BATCH", "16"), ("SOLVER.IMS_PER_BATCH", "4", "SOLVER.REFERENCE_BATCH", "0")],
)
def test_the_published_batch_size_and_an_unscaled_rate_stay(notes, opts):
    given = config(*opts)
    assert with_scaled_rate(given) is given
    assert not notes.messages


def test_the_optimizer_has_the_scaled_rate(notes):
    opts = ("MODEL.WEIGHTS", "", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.REFERENCE_BATCH", "4")
    cfg = config(*opts, "SOLVER.BASE_LR", "0.01", file="configs/demo/cad.yaml")
    optimizer = CADTrainer.build_optimizer(cfg, CADTrainer.build_model(cfg))
    assert {group["lr"] for group in optimizer.param_groups} == {0.005}
    assert len(notes.messages) == 1


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (
            ("MODEL.ROI_HEADS.NAME", "StandardROIHeads"),
            "DROP_LOSS.ENABLED: StandardROIHeads has no DropLoss; .* DropLossROIHeads or",
        ),
        (("INPUT.FORMAT", "BGR"), "INPUT.FORMAT BGR: .* set it to RGB"),
        (("INPUT.RANDOM_FLIP", "vertical"), "RANDOM_FLIP vertical: .* horizontal or none"),
        (("INPUT.CROP.ENABLED", "True"), "INPUT.CROP.ENABLED True: .* set it to False"),
        (("MODEL.KEYPOINT_ON", "True"), "KEYPOINT_ON True"),
        (("MODEL.LOAD_PROPOSALS", "True"), "LOAD_PROPOSALS True"),
        (("TEST.AUG.ENABLED", "True"), "TEST.AUG.ENABLED True"),
        (
            ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
            "SAMPLER_TRAIN RepeatFactorTrainingSampler: .* set it to TrainingSampler",
        ),
        (("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False"), "FILTER_EMPTY_ANNOTATIONS False"),
        (
            ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN"),
            "COPY_PASTE.ENABLED True: GeneralizedRCNN does not read it, ClassAgnosticRCNN does",
        ),
        (
            (
                *("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "SOLVER.AMP.ENABLED", "True"),
                *("INPUT.COPY_PASTE.ENABLED", "False"),
            ),
            "SOLVER.AMP.ENABLED True: GeneralizedRCNN does not read it",
        ),
    ],
)
def test_a_key_that_no_part_reads_is_one_line_before_the_model_is_built(opts, message):
    cfg = config(*opts)
    with pytest.raises(UserError, match=message) as caught:
        CADTrainer.build_model(cfg)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flip", ["horizontal", "none"])
def test_keys_that_are_read_pass(flip):
    check_parts(config("INPUT.RANDOM_FLIP", flip))
    check_parts(config(file="configs/cad_lost.yaml"))

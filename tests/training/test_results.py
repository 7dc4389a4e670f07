"""Folders of a run's results."""

from boxrefine_d2.training.results_file import inference_folder


def test_every_data_set_has_a_folder_of_its_own():
    specs = ["folder:day 1", "folder:day_1", "folder:day/1", "folder:a", "coco:a:b", "coco_a_b"]
    specs += ["scenes:val", "scenes_val", "scenes:val+first=4", "voc:" + "x" * 400 + ":trainval"]
    specs += [
        "folder:caf\udce9",
        "folder:caf\\xe9",
        "folder:ab",
        "Folder:AB",
        "folder:x/scenes:val",
    ]
    folders = [inference_folder("out", spec) for spec in specs]
    assert len({str(folder).lower() for folder in folders}) == len(specs)
    assert max(len(folder.name.encode("utf-8", "surrogateescape")) for folder in folders) <= 120


def test_names_that_people_type_stay_readable():
    assert inference_folder("out", "cutouts_val").as_posix() == "out/inference/cutouts_val"
    assert inference_folder("out", "scenes:val+first=4").name == "scenes_val+first=4"
    assert inference_folder("out", "folder:photos").name.startswith("folder_photos-")

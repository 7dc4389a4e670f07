"""Published numbers of images and boxes of the named data sets; only certain numbers are listed.

`boxes` counts every annotation that the loaders return. These include objects that VOC marks as
difficult, crowds, groups and ignored regions, because the files hold them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialCount:
    """Numbers of images, boxes, crowd boxes and image classes; None if not known for certain."""

    images: int
    boxes: int | None = None
    crowds: int | None = None
    classes: int | None = None


# VOC: the tables of images and objects in the development kits of 2007 and 2012 (24 640 objects in
# 2007, 27 450 in 2012 trainval) leave out difficult objects; these numbers include them.
_VOC = {
    "voc_2007_train": OfficialCount(2501, 7844),
    "voc_2007_val": OfficialCount(2510, 7818),
    "voc_2007_trainval": OfficialCount(5011, 15662),
    "voc_2007_test": OfficialCount(4952, 14976),
    "voc_2007_trainvaltest": OfficialCount(9963, 30638),
    "voc_2012_train": OfficialCount(5717, 15774),
    "voc_2012_val": OfficialCount(5823, 15787),
    "voc_2012_trainval": OfficialCount(11540, 31561),
}

# COCO: the entries of the files of annotations_trainval2014 and annotations_trainval2017. Both
# years hold the same 896 782 annotations. COCO20k: the length of LOST's list.
_COCO = {
    "coco_2014_train": OfficialCount(82783, 604907),
    "coco_2014_val": OfficialCount(40504, 291875),
    "coco_2017_train": OfficialCount(118287, 860001),
    "coco_2017_val": OfficialCount(5000, 36781, crowds=446),
    "coco20k": OfficialCount(19817),
    # files of captions have no boxes
    "coco_captions_2014_train": OfficialCount(82783, 0),
    "coco_captions_2014_val": OfficialCount(40504, 0),
}

# Maps with a class per pixel: the lists of VOC 2012, COCO 2017, and the scene parsing challenge.
_MAPS = {
    "voc_2012_semantic_train": OfficialCount(1464),
    "voc_2012_semantic_val": OfficialCount(1449),
    "voc_2012_semantic_trainval": OfficialCount(2913),
    "coco_object_train2017": OfficialCount(118287),
    "coco_object_val2017": OfficialCount(5000),
    "ade20k_train": OfficialCount(20210),
    "ade20k_val": OfficialCount(2000),
}

# CUB-200-2011: its split, and the tenth of the training images that the loader holds out. Cars and
# Flowers: their splits. Tiny-ImageNet: 500 and 50 images per class. ILSVRC: Table 1 of
# arXiv:1409.0575. OpenImages30k: the lists of arXiv:2001.07437.
_CLASSES = {
    "cub_train": OfficialCount(5400, 5400, crowds=0, classes=200),
    "cub_val": OfficialCount(594, 594, crowds=0, classes=200),
    "cub_trainval": OfficialCount(5994, 5994, crowds=0, classes=200),
    "cub_test": OfficialCount(5794, 5794, crowds=0, classes=200),
    "cars_trainval": OfficialCount(8144, 8144, crowds=0, classes=196),
    "cars_test": OfficialCount(8041, 8041, crowds=0, classes=196),
    "flowers_train": OfficialCount(1020, classes=102),
    "flowers_val": OfficialCount(1020, classes=102),
    "flowers_test": OfficialCount(6149, classes=102),
    "tiny_imagenet_train": OfficialCount(100000, 100000, crowds=0, classes=200),
    "tiny_imagenet_val": OfficialCount(10000, 10000, crowds=0, classes=200),
    "imagenet_loc_train": OfficialCount(1281167, 0, classes=1000),
    "imagenet_loc_val": OfficialCount(50000, crowds=0, classes=1000),
    "openimages30k_train": OfficialCount(29819, 0, classes=100),
    "openimages30k_val": OfficialCount(2500, classes=100),
    "openimages30k_test": OfficialCount(5000, classes=100),
}

OFFICIAL_COUNTS = {
    **_VOC,
    **_COCO,
    **_CLASSES,
    **_MAPS,
    # Flickr30k Entities' own lists of images.
    "flickr30k_train": OfficialCount(29783),
    "flickr30k_val": OfficialCount(1000),
    "flickr30k_test": OfficialCount(1000),
    # The sets of ids in MultiGrounding's data_splits.pickle; the box-refinement paper names others.
    "visual_genome_train": OfficialCount(90599),
    "visual_genome_test": OfficialCount(17478),
    # The entries of lvis_v1_val.json, which has no crowds.
    "lvis_v1_val": OfficialCount(19809, 244707, crowds=0),
    # UVO's "Kit Guide", v1.0: frames of 2 452 videos.
    "uvo_sparse_val": OfficialCount(7356),
    # KITTI's readme states the images. The boxes are the lines of label_2: 28 742 Car, 2 914 Van, 1
    # 094 Truck, 4 487 Pedestrian, 222 Person_sitting, 1 627 Cyclist, 511 Tram, 973 Misc, 11 295
    # DontCare.
    "kitti_trainval": OfficialCount(7481, 51865, crowds=11295),
    # The entries of zhiyuan_objv2_val.json.
    "objects365_val": OfficialCount(80000, 1240587),
    # The table of boxes on the description page of Open Images V6.
    "openimages_val": OfficialCount(41620, 303980),
    # The lists in datasets/lists/. ECSSD has one mask per image.
    "photos_train": OfficialCount(2200, crowds=0),
    "photos_val": OfficialCount(500, crowds=0),
    "photos_coco_train": OfficialCount(1500),
    "photos_coco_val": OfficialCount(160),
    "photos_ecssd_val": OfficialCount(200, 200, crowds=0),
    # Inoue et al., arXiv:1803.11365, section 4: as many images for training as for testing.
    "clipart_train": OfficialCount(500),
    "clipart_test": OfficialCount(500),
    "clipart_traintest": OfficialCount(1000),
    **{
        f"{name}_{split}": OfficialCount(count)
        for name in ("watercolor", "comic")
        for split, count in (("train", 1000), ("test", 1000), ("traintest", 2000))
    },
}

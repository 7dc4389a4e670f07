import numpy as np

from boxrefine_d2.discovery.largest_contour import bright_pixels, largest_contour


def test_the_printed_example_with_a_threshold_of_a_tenth_of_the_maximum():
    heatmap = np.zeros((8, 10))
    heatmap[1:5, 1:5] = 0.9
    heatmap[2, 2] = 1.0
    heatmap[6, 6:] = 0.5
    heatmap[0, 9], heatmap[5, 7] = 0.09, 0.1
    bright = bright_pixels(heatmap, 0.1)
    assert not bright[0, 9] and bright[5, 7]
    component, box = largest_contour(bright)
    assert box.tolist() == [1, 1, 5, 5]
    assert np.argwhere(component).tolist() == [[y, x] for y in range(1, 5) for x in range(1, 5)]


def test_the_area_inside_the_contour_decides_and_not_the_number_of_pixels():
    mask = np.zeros((9, 14), dtype=bool)
    mask[0] = True  # 14 pixels with the area 0
    mask[3:6, 3:6] = True  # 9 pixels with the area 4
    component, box = largest_contour(mask)
    assert box.tolist() == [3, 3, 6, 6]
    assert component.sum() == 9
    mask[3:6, 7:10] = True  # the same area; its first pixel comes later
    assert largest_contour(mask)[1].tolist() == [7, 3, 10, 6]


def test_without_a_bright_pixel_the_box_is_the_image():
    for heatmap in (np.zeros((4, 6)), np.full((4, 6), -1.0)):
        component, box = largest_contour(bright_pixels(heatmap, 0.5))
        assert not component.any()
        assert box.tolist() == [0, 0, 6, 4]

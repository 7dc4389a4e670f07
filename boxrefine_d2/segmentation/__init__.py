"""Open vocabulary: names for boxes and masks, from a list of class names."""

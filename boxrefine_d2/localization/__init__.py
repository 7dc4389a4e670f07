"""Localisation from class labels: classifiers, their maps, and the boxes of these maps."""

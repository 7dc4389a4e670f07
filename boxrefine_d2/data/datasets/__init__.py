"""Loaders of data sets, one format or publisher per file, each returning a `LoadedDataset`."""

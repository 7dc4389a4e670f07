"""The loaders of data sets, one format or publisher a file. Each gives a `LoadedDataset`."""

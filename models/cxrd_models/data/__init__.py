"""From a folder with a ``labels.csv`` to tensors: tasks, manifest, films, augmentation, shortcut probe."""

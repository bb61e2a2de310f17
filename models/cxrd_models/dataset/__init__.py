"""From films and tables as they are published, or as a hospital keeps them, to the ``labels.csv`` a trainer reads."""

"""``python -m cxrd`` is the same program as the ``cxrd`` script."""

from cxrd.cli import main

if __name__ == "__main__":
    main()

"""``python -m vertecast`` is the command line."""

from vertecast.cli import main

if __name__ == "__main__":
    main()

"""`python -m sepal_client`: the command line `sepal`."""

from sepal_client.cli.app import main

if __name__ == "__main__":
    main()

"""Runs modules in processes forked from one that has already imported their libraries.

a test ──▶ client: hands over its module, arguments, folder, environment, stdin, stdout and stderr
              └──▶ server: forks ──▶ a new process runs the module as `python -m` does ──▶ the client's exit code

It takes three seconds of CPU to import scikit-learn and pandas, and a twentieth of one to fork. The tests prove models
and run the command line of `training` more than a hundred times. Some of them do so in processes of their own:
tests/unit/training/test_artifact.py, tests/acceptance.
"""

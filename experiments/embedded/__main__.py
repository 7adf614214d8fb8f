"""python -m experiments.embedded stop | remove: turn the server off by hand, or delete it with its data."""

import sys

from experiments.embedded import ServerProblem, default_home, remove, stop


def main(arguments: list[str]) -> int:
    verbs = {"stop": stop, "remove": remove}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print("usage: python -m experiments.embedded stop | remove", file=sys.stderr)
        return 2
    try:
        verbs[arguments[0]](default_home())
    except ServerProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

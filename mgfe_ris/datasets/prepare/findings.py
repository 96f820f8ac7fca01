"""What is found out on the way to the report."""

from collections import defaultdict

SHOWN = 20


class Findings:
    """What is wrong, by kind, and what is worth knowing."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = defaultdict(list)
        self.notes: list[str] = []

    def add(self, kind: str, what: str) -> None:
        self.problems[kind].append(what)

    def report(self) -> dict[str, dict]:
        return {kind: {'total': len(all_), 'first': all_[:SHOWN]} for kind, all_ in sorted(self.problems.items())}

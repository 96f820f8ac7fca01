"""Weights under other names: tables of rules, read forwards and backwards."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

State = dict[str, Tensor]


class Rule(NamedTuple):
    """Templates of a name, theirs and ours, and what happens to the value on the way there and back."""

    theirs: str
    ours: str
    change: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (lambda x: x, lambda x: x)

    def reversed(self) -> 'Rule':
        """The way back."""
        return Rule(self.ours, self.theirs, self.change[::-1])

    def prefixed(self, theirs: str, ours: str) -> 'Rule':
        """Of a part of a larger model."""
        return self._replace(theirs=theirs + self.theirs, ours=ours + self.ours)

    def pattern(self) -> re.Pattern:
        """``{i}``, ``{j}``, ``{k}``: numbers; ``{p}``: weight or bias; ``{n}``: one of a batch norm's; ``{rest}``."""
        fields = dict(i=r'(?P<i>\d+)', j=r'(?P<j>\d+)', k=r'(?P<k>\d+)', p='(?P<p>weight|bias)')
        fields['n'] = '(?P<n>weight|bias|running_mean|running_var|num_batches_tracked)'
        fields['rest'] = '(?P<rest>.+)'
        return re.compile(re.sub(r'\\{(\w+)\\}', lambda field: fields[field[1]], re.escape(self.theirs)))


def rename(state: Mapping[str, Tensor], rules: Iterable[Rule], left_out: Iterable[str] = ()) -> State:
    """Each name by the first rule that fits it.

    Args:
        left_out: patterns of the beginnings of names that are dropped.

    Raises:
        ValueError: names that no rule explains, all of them listed; two for one name; a value that cannot be theirs.
    """
    compiled = [(rule.pattern(), rule) for rule in rules]
    renamed, unknown = {}, []
    for name, value in state.items():
        if fits_any(left_out, name):
            continue
        for pattern, rule in compiled:
            if match := pattern.fullmatch(name):
                ours = rule.ours.format(**match.groupdict())
                if ours in renamed:
                    raise ValueError(f'two values for {ours}: {name} and another')
                renamed[ours] = _changed(name, value, rule)
                break
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f'{len(unknown)} names that nothing here explains: {", ".join(unknown)}. Is it a file of another model?'
        )
    return renamed


def state_dict_of(checkpoint: Mapping[str, Any]) -> State:
    """The state dict in a checkpoint, bare or under ``'state_dict'`` or ``'model'``, without ``module.`` prefixes.

    Raises:
        ValueError: there is none.
    """
    state = checkpoint
    for key in ('state_dict', 'model'):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError('expected a state dict, or a dict with one under "state_dict" or "model"')
    return without_prefix(state, 'module.')


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """Without a prefix that every name has."""
    if all(name.startswith(prefix) for name in state):
        return {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state)


def fits_any(patterns: Iterable[str], name: str) -> bool:
    """Whether a name begins as one of the patterns."""
    return any(re.match(pattern, name) for pattern in patterns)


def _changed(name: str, value: Tensor, rule: Rule) -> Tensor:
    try:
        return rule.change[0](value)
    except RuntimeError as error:
        raise ValueError(f'{name} is {tuple(value.shape)}, which no weight of this name can be') from error

"""Weights under other names: tables of rules, read forwards and backwards."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

State = dict[str, Tensor]
Change = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""Of a value: the way there, and the way back."""


class Rule(NamedTuple):
    """Templates of a name, theirs and ours, and what happens to the value on the way there and back."""

    theirs: str
    ours: str
    change: Change = (lambda x: x, lambda x: x)

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


def one_wide(theirs: int, ours: int) -> Change:
    """Of a weight whose kernel is 1 wide and has so many dimensions, 0 for a linear layer's; a bias stays as it is."""
    return (lambda x: _kernel(x, ours), lambda x: _kernel(x, theirs))


CONV1D_AS_CONV2D, CONV1D_AS_LINEAR = one_wide(1, 2), one_wide(1, 0)
LINEAR_AS_CONV2D, CONV2D_AS_LINEAR = one_wide(0, 2), one_wide(2, 0)


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


def with_tower(state: State) -> State:
    """Of a file with one of CLIP's towers alone: its names as transformers 4 saves them, ``text_model.`` or
    ``vision_model.`` before each. Version 5 leaves that out. Other files are returned as they are."""
    for name, tower in (('token_embedding.weight', 'text_model.'), ('class_embedding', 'vision_model.')):
        if f'embeddings.{name}' in state:
            return {f'{tower}{name}': value for name, value in state.items()}
    return state


def fits_any(patterns: Iterable[str], name: str) -> bool:
    """Whether a name begins as one of the patterns."""
    return any(re.match(pattern, name) for pattern in patterns)


def _kernel(x: Tensor, dims: int) -> Tensor:
    """(C_out, C_in, 1, ...) with ``dims`` kernel dimensions, each 1 wide; a bias stays as it is."""
    return x if x.dim() == 1 else x.reshape(*x.shape[:2], *[1] * dims)


def _changed(name: str, value: Tensor, rule: Rule) -> Tensor:
    try:
        return rule.change[0](value)
    except RuntimeError as error:
        raise ValueError(f'{name} is {tuple(value.shape)}, which no weight of this name can be') from error

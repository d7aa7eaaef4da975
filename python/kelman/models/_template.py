# SPDX-License-Identifier: BSD-3-Clause
"""A state-space model of which some entries are to be learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import FLOAT64, as_flag, one_of
from ..errors import KelmanError
from ._maps import AffineMap, FunctionMap, scatter
from ._meaning import COVARIANCES, START, SYSTEM, Dims, require_semidefinite, start_kind
from ._parametrised import Parametrised, guesses
from ._state_space import StateSpace
from ._template_function import flat_entries, flat_jacobian
from ._template_parse import Block, Parameter, Place, parse
from ._transforms import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._types import Array, Initial
    from ._following import Following
    from ._maps import EntryMap
    from ._parameters import Free


class Template(Parametrised):
    """A `StateSpace` with unknowns: the shape of a model to be fitted.

    Every array may hold numbers, `Free` entries, `Tied` ones (the same parameter once more) and sums and multiples of
    them, or be one `Free` for a whole free array. Covariances stay covariances by construction: free variances by their
    logarithms, wholly free matrices and wholly free blocks by their Cholesky factors.

    Parameters
    ----------
    A, H, Q, R, B, D, b, c, S, m0, P0, m1, P1, P1_inf : array_like of numbers and unknowns, or Free
        As in `StateSpace`. In a covariance the lower triangle counts.
    initial : {"auto", "stationary", "diffuse"}
        As in `StateSpace`; a stationary start follows the parameters.
    input_lag : {0, 1}
        As in `StateSpace`.
    stable : bool, default False
        Keep A stable by construction. All of A must be free; A is a contraction, which in a free basis leaves out nothing.

    Attributes
    ----------
    names : tuple of str
        Names of the parameters.
    size : int
        Number of parameters K.
    start : ndarray, shape (K,)
        Where a fit begins; NaN where it is chosen from the data.
    dims : Dims
        As of a `StateSpace`.

    Raises
    ------
    KelmanError
        If the arrays do not fit together, a covariance is asymmetric or only partly free in a block, a `Tied` has no
        `Free`, or a start is out of bounds.

    Notes
    -----
    Natural parameters ``theta`` are the numbers in the arrays; unconstrained ones ``eta``, which optimisers and samplers
    move, map to them one to one with the exact Jacobian `constrain_jacobian`.

    Examples
    --------
    A local level, its two variances unknown:

    >>> import kelman
    >>> level = kelman.Template([[1.0]], [[1.0]], [[kelman.Free()]], [[kelman.Free()]], initial="diffuse")
    >>> level.names
    ('Q[0,0]', 'R[0,0]')
    >>> level.model([1469.1, 15099.0]).R
    array([[15099.]])
    """

    _following: Following | None = None
    _loose = False  # whether some directions of the parameters change nothing, as the basis of the state

    def __init__(
        self,
        A: Any,
        H: Any,
        Q: Any,
        R: Any,
        *,
        B: Any = None,
        D: Any = None,
        b: Any = None,
        c: Any = None,
        S: Any = None,
        m0: Any = None,
        P0: Any = None,
        m1: Any = None,
        P1: Any = None,
        P1_inf: Any = None,
        initial: Initial = "auto",
        input_lag: int = 0,
        stable: bool = False,
    ) -> None:
        given = {"A": A, "H": H, "Q": Q, "R": R, "B": B, "D": D, "b": b, "c": c, "S": S}
        given |= {"m0": m0, "P0": P0, "m1": m1, "P1": P1, "P1_inf": P1_inf}
        one_of(initial, "initial", ("stationary", "diffuse", "auto"))
        parsed = parse(given, as_flag(stable, "stable"))
        self._assemble(parsed.base, parsed.parameters, parsed.blocks, parsed.places, parsed.map(), initial, input_lag)

    @classmethod
    def _of(
        cls,
        base: Mapping[str, Array | None],
        parameters: Sequence[Parameter],
        blocks: Sequence[Block],
        places: Sequence[Place],
        entry_map: EntryMap,
        initial: Initial = "auto",
        input_lag: int = 0,
        following: Following | None = None,
    ) -> Template:
        """Build from parts, as structural models do; `following` makes arrays of the start, of which `base` holds examples."""
        template = object.__new__(cls)
        template._following = following
        template._assemble(base, parameters, blocks, places, entry_map, initial, input_lag)
        return template

    @classmethod
    def from_function(
        cls,
        function: Callable[[Array], StateSpace],
        parameters: Mapping[str, Free],
        *,
        jacobian: Callable[[Array], Mapping[str, Array]] | None = None,
    ) -> Template:
        """Make a template of any function of parameters.

        Parameters
        ----------
        function : callable
            Takes the natural parameters (K,) and returns a `StateSpace`, always with the same shapes and kind of start.
        parameters : mapping of str to Free
            Name -> `Free` with a start, and bounds if there are any.
        jacobian : callable, optional
            Takes the parameters and returns for each array that depends on them its derivative, with the parameters on a
            last axis: ``{"A": (n, n, K), ...}``. Left out, five-point differences are taken.

        Returns
        -------
        Template
            With ``template.affine`` false.

        Raises
        ------
        KelmanError
            If a start is missing, or `function` does not return a `StateSpace`.

        Examples
        --------
        A damped oscillation by its modulus and angle:

        >>> import numpy as np
        >>> import kelman
        >>> def turn(theta):
        ...     rho, angle, q = theta
        ...     A = rho * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        ...     return kelman.StateSpace(A, [[1.0, 0.0]], q * np.eye(2), [[1.0]], initial="stationary")
        >>> template = kelman.Template.from_function(
        ...     turn, {"rho": kelman.Free(0.9, 0, 1), "angle": kelman.Free(0.3, 0, np.pi), "q": kelman.Free(0.1, 0)}
        ... )
        >>> template.names
        ('rho', 'angle', 'q')
        """
        rows = []
        for name, free in parameters.items():
            if free.start is None or free.start.ndim:
                raise KelmanError(f"parameters[{name!r}]: expected a Free with one number as its start")
            rows.append(Parameter(name, float(free.start), free.lower, free.upper, free.prior))
        first = function(np.array([row.start for row in rows]))
        if not isinstance(first, StateSpace):
            raise KelmanError(f"function: expected a StateSpace from it, got a {type(first).__name__}")
        base = {name: getattr(first, name) for name in SYSTEM | START}
        places, count = [], 0
        for name, array in base.items():
            if array is not None and name != "P1_inf":
                index = np.indices(array.shape).reshape(array.ndim, -1)
                places.append(Place(name, tuple(index), slice(count, count + array.size)))
                count += array.size
        entry_map = FunctionMap(
            flat_entries(function, places, base), flat_jacobian(jacobian, places, len(rows)), len(rows)
        )
        blocks = [Block(Bounded(row.lower, row.upper), np.array([k])) for k, row in enumerate(rows)]
        return cls._of(base, rows, blocks, places, entry_map, first.initial, first.input_lag)

    def _assemble(
        self,
        base: Mapping[str, Array | None],
        parameters: Sequence[Parameter],
        blocks: Sequence[Block],
        places: Sequence[Place],
        entry_map: EntryMap,
        initial: Initial,
        input_lag: int,
    ) -> None:
        self._base = {name: _double(base.get(name)) for name in SYSTEM | START}
        self._parameters = tuple(parameters)
        self._blocks = tuple(blocks)
        self._places = tuple(places)
        self._map = entry_map
        given = initial if initial in ("stationary", "diffuse", "auto") else "auto"
        self._initial = start_kind(self._base, given)
        self._input_lag = input_lag
        self._checked = self._unsure()
        # The arrays are checked as a model at the starts, or at 1 and 0.5 where there is none.
        self._guess = guesses(self._parameters, self._blocks)
        self._prototype = self.model(self._guess)

    @property
    def dims(self) -> Dims:
        """The sizes of the model."""
        return self._prototype.dims

    @property
    def affine(self) -> bool:
        """Whether every entry is an affine function of the parameters, as EM needs it."""
        return isinstance(self._map, AffineMap)

    def __repr__(self) -> str:
        sizes = f"n={self.dims.n}, m={self.dims.m}" + (f", p={self.dims.p}" if self.dims.p else "")
        shown = ", ".join(self.names[:6]) + (", ..." if self.size > 6 else "")
        return f"Template({sizes}; {self.size} free: {shown})"

    def model(self, theta: Any) -> StateSpace:
        """Return the model at natural parameters.

        Parameters
        ----------
        theta : array_like, shape (K,) or (N, K)
            Natural parameters; N rows give a model of N series.

        Returns
        -------
        StateSpace

        Raises
        ------
        KelmanError
            If their number is not K, or what they make is not a model.
        """
        theta = self._read(theta)
        fields = self._fields(theta)
        start = {name: fields[name] for name in START}
        word = self._initial if self._initial in ("stationary", "diffuse", "auto") else "auto"
        system: dict[str, Any] = {name: fields[name] for name in SYSTEM}
        lag: Any = self._input_lag
        return StateSpace(**system, **start, initial=word, input_lag=lag)  # type: ignore[arg-type]

    def _model(self, theta: Array) -> StateSpace:
        """The model, checked only for what the parameters may spoil: for the inner loop of an optimiser."""
        fields = self._fields(theta)
        for name in self._checked:
            array = fields[name]
            if array is not None:
                require_semidefinite(name, array, places=())
        lag: Any = self._input_lag
        return StateSpace._trusted(fields, FLOAT64, self._initial, lag)  # type: ignore[arg-type]

    def _unsure(self) -> tuple[str, ...]:
        """Covariances that some value of the parameters can make indefinite."""
        if not isinstance(self._map, AffineMap):
            return ()
        safe = {int(col) for block in self._blocks for col in block.columns if self._keeps_definite(block)}
        found = []
        for place in self._places:
            base = self._base[place.field]
            if place.field not in COVARIANCES or base is None:
                continue
            inside = (self._map.rows >= place.entries.start) & (self._map.rows < place.entries.stop)
            constant = base.copy()
            constant[place.index] = self._map.constant[place.entries]
            sound = float(np.linalg.eigvalsh(constant).min()) >= -1e-12 * float(np.abs(constant).max())
            if not (sound and set(self._map.cols[inside].tolist()) <= safe):
                found.append(place.field)
        return tuple(found)

    def _keeps_definite(self, block: Block) -> bool:
        if not isinstance(block.transform, Bounded):
            return True
        parameter = self._parameters[int(block.columns[0])]
        return parameter.scales and parameter.lower >= 0

    def _fields(self, theta: Array) -> dict[str, Array | None]:
        values = self._map.entries(theta).values
        fields = dict(self._base)
        for place in self._places:
            array = self._base[place.field]
            assert array is not None
            part = values[..., place.entries]
            array = array.copy() if theta.ndim == 1 else _by_series(array, place.field, len(theta))
            timed = theta.ndim > 1 and array.ndim - len(place.index) > 1
            where: Any = (..., *place.index)
            array[where] = part[:, None] if timed else part
            fields[place.field] = array
        if self._following is not None:
            fields.update(self._following.start(fields))
        for array in fields.values():
            if array is not None:
                array.flags.writeable = False
        return fields

    def gradient(self, theta: Any, by_entry: Any) -> Array:
        """Return the derivative by natural parameters, from one by the entries of the model.

        Parameters
        ----------
        theta : array_like, shape (K,) or (N, K)
            Natural parameters.
        by_entry : Gradient
            What `kelman.loglik_and_grad` returned for ``template.model(theta)``.

        Returns
        -------
        ndarray, shape (K,) or (N, K)
        """
        theta = self._read(theta)
        entries = self._map.entries(theta)
        outer = np.zeros_like(entries.values)
        by = {place.field: np.asarray(by_entry[place.field], dtype=np.float64) for place in self._places}
        if self._following is not None:
            self._following.add(self._fields(theta), by_entry, by)
        for place in self._places:
            array = by[place.field]
            kept = theta.ndim - 1
            between = tuple(range(kept, array.ndim - len(place.index)))
            where: Any = (..., *place.index)
            outer[..., place.entries] = array.sum(axis=between)[where]
        result: Array = np.zeros_like(theta)
        scatter(result, entries.cols, entries.slopes * outer[..., entries.rows])
        return result


def _double(array: Array | None) -> Array | None:
    return None if array is None else np.array(array, dtype=np.float64)


def _by_series(array: Array, name: str, count: int) -> Array:
    """A writeable copy of a field for each of `count` series: (count, T or 1, ...), or (count, ...) of a start."""
    inner = len((SYSTEM | START)[name])
    if name in SYSTEM and array.ndim == inner:
        array = array[None]
    kept = array.ndim if array.ndim == inner + (name in SYSTEM) else array.ndim - 1
    return np.broadcast_to(array, (count, *array.shape[array.ndim - kept :])).copy()

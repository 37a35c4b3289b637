"""What a model can be asked for by method, as PyMC's users do: all of it is done by functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrox.model import checkup, points
from pyrox.model.nodes import Node
from pyrox.typing import Key, Shape

Point = Mapping[str, Any]


class Evaluable:
    """A model that can be evaluated at a point: a mapping of names to values.

    A variable stands in a point under its own name, or with its unconstrained value under the name that
    ``initial_point`` gives that, ``tau_log__``.
    """

    named_vars: dict[str, Any]

    def initial_point(self, random_seed: int | Key | None = None) -> dict[str, np.ndarray]:
        """Give unconstrained values to start from, by name.

        Parameters
        ----------
        random_seed
            None takes the ``initval`` of the statements, else the means of the distributions, else the image of 0; a
            seed draws what has no ``initval`` from a box, as chains start.

        Returns
        -------
        Arrays by name: ``mu``, ``tau_log__``.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 5.0, 1.0)
        ...     tau = px.Exponential("tau", 1.0)
        >>> {name: float(value) for name, value in model.initial_point().items()}
        {'mu': 5.0, 'tau_log__': 0.0}
        """
        return points.initial_point(self, random_seed)

    def compile_logp(self, vars: Any = None, jacobian: bool = True, sum: bool = True) -> Callable:  # noqa: FBT001, FBT002
        r"""Make a function of a point that gives the joint log-density.

        .. math:: \log p(y, \theta) + \log |\det f'(q)|

        Parameters
        ----------
        vars
            Variables and potentials, or their names, whose terms are added; None takes all.
        jacobian
            Whether the log-determinants of the transforms are added.
        sum
            False gives a list of the terms of each element, variable by variable.

        Returns
        -------
        A function of a mapping of names to values. It is compiled once, and sees data that are replaced later.

        Raises
        ------
        ModelError
            When it is called: if a variable is missing, or a name is that of none.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 0.0, 1.0)
        >>> round(float(model.compile_logp()({"mu": 0.0})), 4)
        -0.9189
        """
        return points.log_density_function(self, vars, jacobian=jacobian, sum=sum)

    logp = compile_logp

    def compile_dlogp(self, vars: Any = None, jacobian: bool = True) -> Callable:  # noqa: FBT001, FBT002
        """Make a function of a point that gives the gradient of the joint log-density.

        Parameters
        ----------
        vars
            Variables, or their names, along which to differentiate; None takes all that are continuous.
        jacobian
            Whether the log-determinants of the transforms belong to the density.

        Returns
        -------
        A function of a mapping of names to values, which gives one vector: the derivatives by unconstrained values,
        variable after variable.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 0.0, 1.0, shape=2)
        >>> model.compile_dlogp()({"mu": [1.0, -2.0]}).tolist()
        [-1.0, 2.0]
        """
        return points.Gradient(self, vars, jacobian=jacobian)

    dlogp = compile_dlogp

    def compile_fn(
        self, outs: Any, *, inputs: Sequence[Any] | None = None, mode: Any = None, point_fn: bool = True
    ) -> Callable:
        """Make a function of a point that evaluates variables and expressions of the model.

        Parameters
        ----------
        outs
            A variable or an expression, or a list of them.
        inputs
            Variables, or their names, in the order of the arguments of the function without ``point_fn``.
        mode
            Nothing: there is one way to compile.
        point_fn
            False gives a function of values by position.

        Returns
        -------
        A function of a mapping of names to values; it gives an array, or a list of arrays for a list.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 0.0, 1.0)
        >>> float(model.compile_fn(2 * mu)({"mu": 3.0}))
        6.0
        """
        return points.expression_function(self, outs, inputs, point_fn=point_fn)

    def point_logps(self, point: Point | None = None, round_vals: int = 2) -> dict[str, float]:
        """Give the log-density of each variable and potential at a point.

        Parameters
        ----------
        point
            Values by name; None takes the initial point.
        round_vals
            Number of decimals.

        Returns
        -------
        Terms by name, with the log-determinants of the transforms.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     mu = px.Normal("mu", 0.0, 1.0)
        ...     y = px.Normal("y", mu, 1.0, observed=[0.0, 1.0])
        >>> model.point_logps()
        {'mu': -0.92, 'y': -2.34}
        """
        return checkup.point_logps(self, point, round_vals)

    def debug(self, point: Point | None = None, fn: str = "logp", verbose: bool = False) -> None:  # noqa: FBT001, FBT002
        """Print what keeps the log-density at a point from being finite.

        Parameters
        ----------
        point
            Values by name; None takes the initial point.
        fn
            ``"logp"`` looks at log-densities, ``"dlogp"`` at their gradient too, ``"random"`` at draws from the prior.
        verbose
            Whether to print every term.

        Examples
        --------
        >>> import pyrox as px
        >>> with px.Model() as model:
        ...     scale = px.Normal("scale", -1.0, 1.0)
        ...     y = px.Normal("y", 0.0, scale, observed=[0.5])
        >>> model.debug()
        point={'scale': -1.}
        <BLANKLINE>
        The variable 'y' has log-density nan (1 of 1 terms are not finite, the first at 0)
          its parameter scale (sigma) must be positive; met -1.
        """
        print(checkup.check(self, point, fn, verbose=verbose))

    def eval_rv_shapes(self) -> dict[str, Shape]:
        """Give the shapes of the variables without observed values, and of their unconstrained values."""
        start = self.initial_point()
        own = {name: node.shape for name, node in self.named_vars.items() if isinstance(node, Node)}
        free = {v.name for v in self.free_RVs}
        return {n: s for n, s in own.items() if n in free} | {name: value.shape for name, value in start.items()}

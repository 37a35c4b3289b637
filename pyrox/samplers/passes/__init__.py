"""What becomes of a traced gradient before XLA sees it: passes over jaxprs, each one a function from one to another.

In the order in which they run:

``least_squares``
    Takes the rows out of normal likelihoods with linear means (what is linear, ``linear`` tells).
``share``
    Computes once what several loops need.
``rewrite``
    Computes equal things once, and puts loops in place of what native kernels lack: by ``rules``, in the order of
    ``schedule``.
``orient``
    Turns matrices so that products with them read long rows.
``single``
    Lets products with matrices be made in single precision where a flag asks for it.
``hoist``
    Takes out what does not depend on the position.

``jaxprs`` holds what all of them need to look at equations and to run them.
"""

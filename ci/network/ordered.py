"""The order of tests whose modules take turns with the same machines."""


def in_order(items, modules):
    """Sorts the tests of pytest_collection_modifyitems, a wrapper, as their modules are listed. Those that a chosen one builds
    on, the ones before it in its module, come along."""
    items.sort(key=lambda item: modules.index(item.module.__name__))
    every = list(items)
    # Here those go that were not chosen.
    yield
    last = {item.module: every.index(item) for item in items}
    items[:] = [item for number, item in enumerate(every) if number <= last.get(item.module, -1)]

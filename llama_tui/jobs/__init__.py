"""What it does: coroutines over the interfaces.

Each tells what happens through `emit`, returns its result, raises its error, stops when cancelled.
"""

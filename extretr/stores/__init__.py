"""
Where maildrops rest: one store a module, each an `extretr.interfaces.IStore`.
"""

"""The words of WedSync as values: ids, items, fields and changes. Pure, standard library only."""
